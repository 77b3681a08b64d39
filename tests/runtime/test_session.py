"""A whole run: what it prints, what it leaves in its folder, and how it ends when it is not left alone."""

import hashlib
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.report import write_report
from evaluation.scoreboard import Scoreboard
from models.tensorfile import read_tensors
from runtime.config_file import load_toml
from runtime.record import RunFolderExists
from runtime.session import run_session

COMMAND = "from benchmarks.cli import main; main()"
SUMMARY_KEYS = {
    *("schema", "stream", "method", "model", "device", "seed", "pace", "size", "wall_s", "frames", "fps"),
    *("latency_ms", "adaptation", "shifts", "quality", "memory", "environment"),
}
ADAPTATION_KEYS = {
    *("steps_applied", "steps_refused", "rollbacks", "recalls", "step_ms", "duty", "trainable_parameters"),
    *("forwards_per_frame", "all_forwards_per_frame"),
    *("total_parameters", "first_version", "last_version", "frozen_digest_before", "frozen_digest_after"),
}
QUALITY_KEYS = {
    *("classes", "miou", "miou_frozen", "domains", "hmean", "hmean_frozen", "worst_drop"),
    *("negative_window_share", "recovery_frames"),
    *("calibration", "forgetting", "streaming", "deadline", "deadlines", "windowed"),
    *("gain", "worst_window", "unsafe_classes", "unsafe_visit", "lags", "recurrence", "rounds", "worst_later_round"),
}


def play(config, *, make_scorer=Scoreboard, finish=lambda _: None):
    threads = set(threading.enumerate())
    outcome = run_session(config, make_scorer=make_scorer, finish=finish)
    assert set(threading.enumerate()) == threads
    return outcome


def events_of(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]


def finite(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


@pytest.fixture(scope="module")
def outcome(tiny_world, tmp_path_factory):
    """A lossless run over the dark split with page and metrics up."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return play(
        tiny_world.config(
            run={"run_dir": run_dir, "shadow": 1.0, "checkpoint_every_s": 0.001}, web={"web": True, "port": 0}
        ),
        finish=write_report,
    )


def test_the_run_folder_holds_what_it_should(outcome) -> None:
    run_dir = outcome.run_dir
    names = {path.name for path in run_dir.iterdir()}
    files = {"config.toml", "events.jsonl", "summary.json", "slices.npz", "report.html"}
    assert names == files | {"checkpoints", "previews"}
    assert json.loads((run_dir / "summary.json").read_text()) == outcome.summary
    assert {path.suffix for path in (run_dir / "previews").iterdir()} == {".png", ".jpg"}
    assert not [path for path in run_dir.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]


def test_the_report_needs_nothing_else(outcome) -> None:
    page = (outcome.run_dir / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)


def test_the_summary_has_every_documented_key(outcome) -> None:
    summary = outcome.summary
    assert summary.keys() >= SUMMARY_KEYS and summary["schema"] == 1
    assert summary["frames"].keys() >= {"captured", "predicted", "in_flight", "dropped"}
    assert summary["fps"].keys() >= {"stream", "end_to_end"}
    for name in ("capture_to_result", "inference", "frozen_inference"):
        percentiles = [summary["latency_ms"][name][key] for key in ("p50", "p95", "p99", "max")]
        assert percentiles == sorted(percentiles) and percentiles[0] > 0
    assert summary["adaptation"].keys() >= ADAPTATION_KEYS
    assert summary["adaptation"]["step_ms"].keys() >= {"p50", "p95", "p99"}
    assert summary["quality"].keys() >= QUALITY_KEYS
    (domain,) = summary["quality"]["domains"]
    assert domain.keys() >= {"name", "visit", "first_frame", "frames", "miou", "miou_frozen"}
    assert summary["memory"].keys() >= {"peak_rss_mb", "peak_device_mb", "replay_mb"}
    assert summary["environment"].keys() >= {"python", "torch", "device_name", "cpu_count", "package_version"}
    for shift in summary["shifts"]:
        assert shift.keys() == {"frame", "kind", "score", "true_domain"}


def test_the_figures_fit_each_other(outcome) -> None:
    summary = outcome.summary
    frames, adaptation, quality = summary["frames"], summary["adaptation"], summary["quality"]
    assert (frames["captured"], frames["predicted"], frames["in_flight"], frames["dropped"]) == (12, 12, 0, {})
    assert summary["size"] == "32x64" and summary["ended"] == "end" and summary["faults"] == {}
    assert adaptation["frozen_digest_before"] == adaptation["frozen_digest_after"]
    assert 0 < adaptation["trainable_parameters"] < adaptation["total_parameters"]
    assert adaptation["steps_refused"] == adaptation["rollbacks"] == 0 <= adaptation["steps_applied"]
    assert [shift["kind"] for shift in summary["shifts"]] == ["away"]
    assert (quality["domains"][0]["name"], quality["domains"][0]["frames"]) == ("test_dusk", 12)
    assert quality["hmean"] == pytest.approx(quality["domains"][0]["miou"])
    assert 0 <= quality["miou"] <= 100 and len(quality["classes"]) == 19
    assert finite(summary["memory"]["peak_rss_mb"]) and 0 < summary["memory"]["replay_mb"] <= 1


def test_the_events_tell_the_same_story(outcome) -> None:
    lines, summary = events_of(outcome.run_dir), outcome.summary
    names = [line["event"] for line in lines]
    assert (names[0], names[-1]) == ("run_started", "run_finished")
    predicted = [line for line in lines if line["event"] == "prediction"]
    assert [line["frame"] for line in predicted] == list(range(12))
    steps = [line for line in lines if line["event"] == "adaptation_step"]
    assert len(steps) == summary["adaptation"]["steps_applied"]
    assert predicted[-1]["version"] == summary["adaptation"]["last_version"]
    versions = [line["version"] for line in predicted]
    assert versions == sorted(versions) and versions[0] == 0


def test_checkpoints_are_whole_and_the_last_is_the_newest_version(outcome) -> None:
    manifests = sorted((outcome.run_dir / "checkpoints").glob("*.json"))
    assert 1 <= len(manifests) <= 3
    for path in manifests:
        manifest = json.loads(path.read_text())
        tensors, _ = read_tensors(path.with_suffix(".safetensors"))
        assert any(".adapter." in name for name in tensors)
        assert manifest["sha256"] == hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    publishing = ("adaptation_step", "statistics_taken")
    versions = [line["version"] for line in events_of(outcome.run_dir) if line["event"] in publishing]
    assert manifest["version"] == versions[-1] == max(versions) > 0
    assert manifest["next_frame"] == 12


def test_lockstep_is_replayed_from_the_folder_alone(tiny_world, tmp_path) -> None:
    first = play(tiny_world.config(run={"run_dir": tmp_path / "first", "pace": "lockstep", "seed": 3}))
    written = first.run_dir / "config.toml"
    assert "run_dir" not in tomllib.loads(written.read_text())["run"]
    config = load_toml(written)
    again = play(replace(config, run=replace(config.run, run_dir=tmp_path / "again")))
    assert first.summary["adaptation"]["steps_applied"] > 0
    for key in ("quality", "shifts", "frames", "seed"):
        assert first.summary[key] == again.summary[key]
    answers = [
        [
            (line["frame"], line["version"], line["confidence"])
            for line in events_of(run.run_dir)
            if "confidence" in line
        ]
        for run in (first, again)
    ]
    assert answers[0] == answers[1]


def test_a_live_run_accounts_for_every_frame(tiny_world, tmp_path) -> None:
    config = tiny_world.config(stream={"fps": 200.0}, run={"run_dir": tmp_path / "run", "pace": "live"})
    frames = play(config).summary["frames"]
    assert frames["captured"] == 12
    assert frames["captured"] == frames["predicted"] + sum(frames["dropped"].values()) + frames["in_flight"]


def test_without_labels_the_run_reports_health(tiny_world, tmp_path, capsys) -> None:
    stream = {"stream": "dataset:camvid:test_blind", "max_frames": 4}
    summary = play(tiny_world.config(stream=stream, run={"run_dir": tmp_path / "run"})).summary
    assert summary["quality"] is None and summary["frames"]["stream_faults"] == {"missing_label": 4}
    assert 0 < summary["health"]["confidence"] < 1
    assert "no labels in this stream" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_costs_the_record_only(tiny_world, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    summary = play(tiny_world.config(run={"run_dir": tmp_path / "file" / "run"})).summary
    assert summary["frames"]["predicted"] == 12 and summary["faults"]["record"] == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "harmonic mean" in shown and "the run folder is incomplete" in shown
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_report_that_cannot_be_written_costs_the_report_only(tiny_world, tmp_path, capsys) -> None:
    def full_disk(run_dir: Path) -> None:
        (Path("/dev/full")).write_text(f"report of {run_dir}")

    outcome = play(tiny_world.config(run={"run_dir": tmp_path / "run"}), finish=full_disk)
    assert outcome.summary["ended"] == "end" and (tmp_path / "run" / "summary.json").is_file()
    assert "No space left on device" in " ".join(capsys.readouterr().out.split())


def test_an_end_that_must_be_quick_leaves_the_report_and_says_how_to_get_it(tiny_world, tmp_path, capsys) -> None:
    class Terminated(Scoreboard):
        def observe(self, event):
            super().observe(event)
            if getattr(getattr(event, "frame", None), "index", None) == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    finished = []
    run_dir = tmp_path / "run"
    play(tiny_world.config(run={"run_dir": run_dir}), make_scorer=Terminated, finish=finished.append)
    assert finished == [] and (run_dir / "summary.json").is_file()
    line = f"report  left out for a quick end; to write it: udaseg-runtime report {run_dir}"
    assert capsys.readouterr().out.splitlines()[-1].strip() == line
    assert write_report(run_dir).is_file()


def test_an_existing_folder_is_refused_before_anything_is_built(tmp_path, tiny_world) -> None:
    config = tiny_world.config(model={"checkpoint": "not even looked at"}, run={"run_dir": tmp_path})
    with pytest.raises(RunFolderExists, match=f"^--run-dir {tmp_path}: exists already"):
        play(config)


def test_a_failure_is_raised_after_summary_and_record_are_written(tiny_world, tmp_path) -> None:
    class Failing(Scoreboard):
        def observe(self, event):
            if getattr(getattr(event, "frame", None), "index", None) == 5:
                raise ZeroDivisionError("a defect in an observer")
            super().observe(event)

    with pytest.raises(ZeroDivisionError):
        play(tiny_world.config(run={"run_dir": tmp_path / "run"}), make_scorer=Failing)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ended"] == "error" and summary["frames"]["predicted"] == 5
    assert not (tmp_path / "run" / "report.html").exists()  # the end of a failed run is quick


def test_page_and_metrics_answer_during_the_run_and_end_with_it(tiny_world, tmp_path, capsys) -> None:
    answers = []

    class Asking(Scoreboard):
        def observe(self, event):
            super().observe(event)
            if getattr(getattr(event, "frame", None), "index", None) == 8 and not answers:
                url = re.search(r"http://127.0.0.1:\d+/", capsys.readouterr().out)[0]
                answers.append(url)
                answers.extend(urllib.request.urlopen(url + path).read() for path in ("livez", "statusz", "metrics"))

    config = tiny_world.config(run={"run_dir": tmp_path / "run", "quiet": False}, web={"web": True, "port": 0})
    play(config, make_scorer=Asking)
    url, alive, _, metrics = answers
    assert alive and b"udaseg_frames_predicted_total" in metrics
    with pytest.raises(OSError):
        urllib.request.urlopen(url)


def start(arguments, *, prelude="") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", prelude + COMMAND, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_ctrl_c_ends_cleanly_with_the_table(tiny_world, tmp_path) -> None:
    lengthy = ("--stream", "rain_sequence", "--dataset", "camvid:test_dusk", "--pace", "live", "--fps", "4")
    process = start(tiny_world.arguments(*lengthy, "--shadow", 1, "--run-dir", tmp_path / "run"))
    assert process.stdout is not None
    until_shift = list(itertools.takewhile(lambda line: not line.startswith("shift: away"), process.stdout))
    process.send_signal(signal.SIGINT)
    shown, complaints = process.communicate(timeout=100)
    assert (process.returncode, complaints) == (0, "")
    assert any(line.startswith("rain_sequence on camvid_test_dusk  styled") for line in until_shift)
    assert "mIoU by domain visit" in shown
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ended"] == "interrupted" and summary["frames"]["captured"] < 132
    assert (tmp_path / "run" / "report.html").is_file()


def test_ctrl_c_while_the_run_is_built_says_that_nothing_was_written(tiny_world, tmp_path) -> None:
    def interrupted(*_):
        raise KeyboardInterrupt  # as a Ctrl-C does; a signal itself is not heard where the tests' parent ignores it

    config = tiny_world.config(run={"run_dir": tmp_path / "run"})
    with pytest.raises(KeyboardInterrupt, match=r"^interrupted before the first frame; nothing was written$"):
        run_session(config, make_scorer=Scoreboard, finish=lambda _: None, open_with=interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_files_but_not_the_run(tiny_world, tmp_path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000))\n"
    process = start(tiny_world.arguments("--run-dir", tmp_path / "run"), prelude=limit)
    shown, complaints = process.communicate(timeout=100)
    assert (process.returncode, complaints) == (0, "")
    assert "12 predicted" in shown and "the run folder is incomplete" in shown
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
