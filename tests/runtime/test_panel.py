import dataclasses
import io
import json
import math
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from runtime import events
from runtime.panel import LivePanel, PlainPanel, SilentPanel, Terminal, open_panel, render_summary
from runtime.panel_view import render_panel
from runtime.status import Status
from runtime.summary import SummaryBuilder
from tests.fakes import (
    ManualClock,
    make_frame,
    make_governor_changed,
    make_prediction,
    make_recall,
    make_run_finished,
    make_run_started,
    make_scores,
    make_shadow,
    make_step,
)

URL = "http://127.0.0.1:9464/"


def make_console(*, terminal=False, width=120):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def text_of(console):
    return console.file.getvalue()


def story():
    frame = make_frame(9, domain="rain_25mm")
    prediction = make_prediction(frame, version=4)
    return [
        make_run_started(),
        events.FrameCaptured(8, 100.0),
        events.FrameDropped(8, "stale", 100.0),
        events.FrameCaptured(9, 100.0),
        *[prediction] * 5,
        make_shadow(prediction),
        make_step(9),
        events.ShiftScore(9, 1.31, True, 100.0),
        events.ShiftEvent(9, "away", 1.31, "rain_25mm", 100.0),
        make_recall(9),
        make_governor_changed(1),
    ]


def status_after(story, **options):
    status = Status(**options)
    for event in story:
        status.observe(event)
    return status


def test_panel_shows_what_a_user_looks_for():
    console = make_console()
    console.print(render_panel(status_after(story(), scores=make_scores).snapshot(), url=URL))
    text = text_of(console)
    wanted = [URL, "rain_sequence", "rain_25mm", "frame 10 of 825", "adapted 30.0", "frozen 26.0", "+4.0", "p99 30 ms"]
    wanted += ["1 dropped (1 stale)", "1 steps", "version 4", "1.31", "away at frame 9", "domain 2 recalled at frame 9"]
    wanted += ["governor", "level 1 (rate): because late", "% of the time"]
    for piece in wanted:
        assert piece in text, piece


def test_panel_of_an_unlabelled_stream_shows_health():
    console = make_console()
    console.print(render_panel(status_after(story()).snapshot(), url=None))
    assert "confidence 0.75   entropy 0.50 nats   agreement with frozen 50 %" in text_of(console)


def test_plain_lines_come_every_five_seconds_and_at_shifts():
    clock = ManualClock()
    console = make_console(width=40)
    status = Status(scores=make_scores, clock=clock)
    panel = PlainPanel(status, console=console, url=URL, clock=clock)
    begin = [make_run_started(), make_prediction(make_frame(0))]
    for event in begin:
        status.observe(event)
        panel.observe(event)
    assert len(text_of(console).splitlines()) == 1
    assert URL in text_of(console)
    clock.advance(5.0)
    for event in (make_prediction(make_frame(1)), make_prediction(make_frame(2))):
        status.observe(event)
        panel.observe(event)
    assert len(text_of(console).splitlines()) == 2
    panel.observe(events.ShiftEvent(3, "away", 1.5, None, 100.0))
    panel.observe(events.Rollback(4, 2, "nonfinite", 100.0))
    panel.observe(make_recall(5))
    panel.observe(make_recall(6, refusal="non-finite weights"))
    panel.observe(events.Fault("learner", "out of [memory]", 100.0))
    assert text_of(console).splitlines()[2:] == [
        "shift: away at frame 3 (score 1.50)",
        "rollback to version 2 at frame 4: nonfinite",
        "domain 2 recalled at frame 5 (distance 0.25)",
        "domain 2 not recalled at frame 6, and forgotten: non-finite weights",
        "fault: learner: out of [memory]",
    ]


def test_the_fitting_panel_is_opened():
    status = Status()
    assert isinstance(open_panel(status, console=make_console(), url=None, is_quiet=False), PlainPanel)
    assert isinstance(open_panel(status, console=make_console(terminal=True), url=None, is_quiet=False), LivePanel)
    silent = open_panel(status, console=make_console(terminal=True), url=None, is_quiet=True)
    assert isinstance(silent, SilentPanel)


def test_live_panel_gives_the_terminal_back():
    before = {thread for thread in threading.enumerate()}
    console = make_console(terminal=True)
    status = status_after(story())
    panel = LivePanel(status, console=console, url=URL)
    for event in (*story(), make_run_finished()):
        panel.observe(event)
    panel.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) == before
    text = text_of(console)
    assert "shift: away at frame 9" in text
    assert text.count("\x1b[?25h") == text.count("\x1b[?25l") == 1  # cursor shown as often as hidden


def test_summary_table_by_visit():
    console = make_console()
    builder = SummaryBuilder({})
    for event in (*story(), make_run_finished(stream_faults={"decode_error": 2})):
        builder.observe(event)
    render_summary(builder.build(make_scores()), console, run_dir=None)
    lines = [line.split() for line in text_of(console).splitlines()]
    assert ["clear", "75", "15", "50.5", "50.0", "-0.5"] in lines
    assert ["rain_25mm", "75", "75", "26.0", "30.0", "+4.0"] in lines
    assert ["harmonic", "mean", "34.3", "37.5", "+3.2"] in lines
    assert "unusable: 2 decode_error" in text_of(console)
    assert "dropped: 1 stale" in text_of(console)


def test_summary_table_says_how_many_visits_its_mean_is_over():
    console = make_console()
    scores = make_scores()
    unseen = dataclasses.replace(scores.visits[1], visit=2, compared=0, miou_frozen=math.nan)
    builder = SummaryBuilder({})
    render_summary(builder.build(dataclasses.replace(scores, visits=(*scores.visits, unseen))), console, run_dir=None)
    lines = [line.split() for line in text_of(console).splitlines()]
    assert ["rain_25mm", "75", "0", "-", "30.0", "-"] in lines
    assert ["harmonic", "mean", "2", "of", "3", "visits", "34.3", "37.5", "+3.2"] in lines


def test_the_panel_keeps_its_width_whatever_is_in_it():
    widths = set()
    for snapshot in (Status().snapshot(), status_after(story(), scores=make_scores).snapshot()):
        console = make_console()
        console.print(render_panel(snapshot, url=URL))
        widths |= {len(line) for line in text_of(console).splitlines()}
    assert len(widths) == 1


def test_summary_of_nothing_can_be_shown(tmp_path):
    console = make_console()
    render_summary(SummaryBuilder({}).build(None), console, run_dir=tmp_path)
    assert "no labels in this stream" in text_of(console)
    assert tmp_path.name in text_of(console)


def test_an_output_on_a_full_disk_mutes_the_panel_and_is_told_once():
    faults = []
    with open("/dev/full", "w", encoding="utf-8") as file:
        panel = PlainPanel(Status(), console=Terminal(on_fault=faults.append, file=file))
        for event in (make_run_started(), make_recall(5), make_recall(6)):
            panel.observe(event)
        file.flush()  # as the interpreter does at its end
    assert faults == ["the output cannot be written (No space left on device); nothing more is printed"]


def test_a_terminal_that_was_closed_mutes_the_live_panel():
    faults = []
    master, slave = os.openpty()
    with open(slave, "w", encoding="utf-8") as file:
        panel = open_panel(Status(), console=Terminal(on_fault=faults.append, file=file), url=None, is_quiet=False)
        assert isinstance(panel, LivePanel)
        panel.observe(make_run_started())
        os.close(master)
        for event in (make_recall(5), make_run_finished()):
            panel.observe(event)
        panel.close()
    assert faults == ["the output cannot be written (Input/output error); nothing more is printed"]


def test_an_output_nobody_reads_any_more_is_for_the_front_door():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as file:
        panel = PlainPanel(Status(), console=Terminal(on_fault=pytest.fail, file=file))
        with pytest.raises(BrokenPipeError):
            panel.observe(make_run_started())
        with open(os.devnull, "wb") as nowhere:  # what the front door does
            os.dup2(nowhere.fileno(), file.fileno())


def test_a_run_whose_output_cannot_be_written_goes_on_to_its_end(tiny_world, tmp_path):
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, *tiny_world.arguments("--run-dir", tmp_path / "run")],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=100,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["ended"], summary["faults"]["terminal"], summary["frames"]["predicted"]) == ("end", 1, 12)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) and (tmp_path / "run" / "report.html").is_file()
