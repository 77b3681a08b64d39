import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest

from runtime import events
from runtime.record import FLUSH_LINES, RunFolderExists, RunRecord
from streams.datasets.labels import CITYSCAPES
from streams.images import read_image
from tests.fakes import (
    ManualClock,
    make_frame,
    make_prediction,
    make_run_finished,
    make_run_started,
    make_scores,
    make_shadow,
    make_step,
)

FULL_DISK = Path("/dev/full")


def play(record, *, visits=("clear", "rain_25mm", "clear"), frames=6, labelled=True, shadow=True):
    record.observe(make_run_started())
    for index in range(frames * len(visits)):
        frame = make_frame(index, domain=visits[index // frames], labelled=labelled)
        prediction = make_prediction(frame)
        record.observe(events.FrameCaptured(index, 100.0))
        record.observe(prediction)
        if shadow and index % frames < frames - 1:
            record.observe(make_shadow(prediction))
        record.observe(make_step(index))
    record.observe(make_run_finished())


def lines_of(path):
    return [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]


def test_events_become_lines_with_scalars_only(tmp_path):
    clock = ManualClock()
    record = RunRecord(tmp_path / "run", config_toml="[run]\nseed = 0\n", scores=make_scores, clock=clock)
    play(record)
    record.observe(events.AdaptationStep(7, "nonfinite", math.nan, 3e-4, 0.04, 1, 101.5, "loss is nan"))
    record.observe(events.ShiftEvent(6, "away", 1.25, "rain_25mm", 101.0))
    record.close()
    assert (record.path / "config.toml").read_text() == "[run]\nseed = 0\n"
    lines = lines_of(record.path)
    names = [line["event"] for line in lines]
    assert names[0] == "run_started" and "frame_captured" not in names
    assert names.count("prediction") == 18 and names.count("shadow_prediction") == 15
    fifth = [line for line in lines if line["event"] == "prediction"][4]
    assert fifth == {
        "event": "prediction", "t_s": 0.03, "frame": 4, "domain": "clear", "version": 0, "latency_ms": 30.0,
        "inference_ms": 20.0, "confidence": 0.75, "entropy_nats": 0.5, "miou_recent": 30.0, "miou_frozen_recent": 26.0,
    }  # fmt: skip
    assert next(line for line in lines if line["event"] == "shadow_prediction")["agreement"] == 0.5
    assert lines[-2] == {
        "event": "adaptation_step", "frame": 7, "outcome": "nonfinite", "loss": None, "learning_rate": 3e-4,
        "duration_ms": 40.0, "version": 1, "t_s": 1.5, "detail": "loss is nan",
    }  # fmt: skip
    assert lines[-1] == {
        "event": "shift_event", "frame": 6, "kind": "away", "score": 1.25, "true_domain": "rain_25mm", "t_s": 1.0,
    }  # fmt: skip


def test_lines_reach_the_disk_every_second_and_when_many(tmp_path):
    clock = ManualClock()
    record = RunRecord(tmp_path / "run", config_toml="", clock=clock)
    record.observe(make_run_started())
    assert not (record.path / "events.jsonl").exists()
    clock.advance(1.0)
    record.observe(make_step(1))
    for index in range(FLUSH_LINES):
        record.observe(make_step(index))
    record.close()
    assert len(lines_of(record.path)) == FLUSH_LINES + 2


def test_one_strip_of_pictures_per_visit_from_its_last_shadowed_frame(tmp_path):
    record = RunRecord(tmp_path / "run", config_toml="")
    play(record, visits=("clear", "rain/25 mm", "clear"))
    record.close()
    names = sorted(file.name for file in (record.path / "previews").iterdir())
    kinds = ("adapted.png", "frozen.png", "image.jpg", "label.png")
    assert names == [f"{visit}-{kind}" for visit in ("00-clear", "01-rain_25_mm", "02-clear") for kind in kinds]
    label_HWC = read_image(record.path / "previews" / "01-rain_25_mm-label.png")
    assert np.array_equal(label_HWC, CITYSCAPES.colors[make_frame(10).label_HW])


def test_unlabelled_streams_are_cut_at_shifts_and_need_no_shadow(tmp_path):
    record = RunRecord(tmp_path / "run", config_toml="")
    for index in range(4):
        record.observe(make_prediction(make_frame(index, domain=None, labelled=False)))
        if index == 1:
            record.observe(events.ShiftEvent(1, "away", 1.5, None, 100.0))
    record.close()
    names = sorted(file.name for file in (record.path / "previews").iterdir())
    assert names == [f"0{visit}-stream-{kind}" for visit in (0, 1) for kind in ("adapted.png", "image.jpg")]


def test_pictures_are_bounded(tmp_path):
    record = RunRecord(tmp_path / "run", config_toml="")
    for index in range(80):
        record.observe(make_prediction(make_frame(index, domain=f"domain_{index}", labelled=False)))
    record.close()
    assert len(list((record.path / "previews").glob("*-image.jpg"))) == 32


def test_an_existing_folder_is_never_touched(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "summary.json").write_text("precious")
    with pytest.raises(RunFolderExists, match=r"--run-dir .*run: exists already; .*another name"):
        RunRecord(folder, config_toml="")
    assert [file.name for file in folder.iterdir()] == ["summary.json"]
    assert (folder / "summary.json").read_text() == "precious"


@pytest.mark.skipif(not FULL_DISK.exists(), reason="no /dev/full on this machine to stand for a full disk")
def test_a_full_disk_stops_the_recording_once_and_nothing_else(tmp_path):
    faults = []
    record = RunRecord(tmp_path / "run", config_toml="", on_fault=faults.append)
    (record.path / "events.jsonl").symlink_to(FULL_DISK)
    play(record)
    record.close()
    play(record)
    record.close()
    assert len(faults) == 1
    assert "recording stopped (No space left on device); the run goes on" in faults[0]
    assert record.fault == faults[0]
    record.write_summary({"schema": 1})
    assert json.loads((record.path / "summary.json").read_text()) == {"schema": 1}


@pytest.mark.skipif(not FULL_DISK.exists(), reason="no /dev/full on this machine to stand for a full disk")
def test_a_disk_with_room_again_goes_on_recording_and_tells_what_was_lost(tmp_path):
    faults, clock = [], ManualClock()
    record = RunRecord(tmp_path / "run", config_toml="", on_fault=faults.append, clock=clock)
    told = record.path / "events.jsonl"

    def take(*indices):
        for index in indices:
            record.observe(make_step(index))
        record.flush()
        record.writer.submit(int).result(timeout=60.0)  # what came before it is on the disk, or lost

    take(0)
    told.rename(record.path / "kept")
    told.symlink_to(FULL_DISK)
    take(1, 2)
    take(3)
    told.unlink()
    (record.path / "kept").rename(told)
    with told.open("a") as file:
        file.write('{"event": "adaptation_st')  # a disk that runs full cuts a line short
    take(4)
    take(5)
    record.close()
    lost = {"event": "events_lost", "num_events": 3, "reason": "No space left on device"}
    lines = lines_of(record.path)
    assert [line["frame"] for line in lines if line != lost] == [0, 4, 5] and lines[1] == lost
    assert len(faults) == 1 and record.fault is None


def test_a_folder_that_cannot_be_made_costs_the_record_only(tmp_path):
    (tmp_path / "file").write_text("")
    faults = []
    record = RunRecord(tmp_path / "file" / "run", config_toml="", on_fault=faults.append)
    play(record)
    record.close()
    record.write_summary({"schema": 1})
    assert len(faults) == 1 and "Not a directory" in faults[0]


def test_closing_twice_leaves_no_thread(tmp_path):
    before = set(threading.enumerate())
    record = RunRecord(tmp_path / "run", config_toml="")
    play(record)
    record.close()
    record.close()
    assert set(threading.enumerate()) == before
