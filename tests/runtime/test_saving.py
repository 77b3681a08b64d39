"""Checkpoints of a run: behind its events, left out where the disk is slow, and never at the cost of the run."""

import json
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.tensorfile import CheckpointInvalid
from runtime.checkpoints import Checkpoint, newest_checkpoint
from runtime.events import FrameCaptured, FrameDropped, SnapshotTaken
from runtime.record import RunRecord
from runtime.saving import Position, Saver
from tests.fakes import ManualClock, make_frame, make_prediction, make_run_started


def snapshot(version=1):
    weights = {"number": version, "parent": 0, "frame_index": 3, "tensors": {"head": torch.ones(2)}}
    return SnapshotTaken({"weights": weights}, at_s=100.0)


class Counting:
    """An observer with a state."""

    def __init__(self, count=0):
        self.count = count

    def state(self):
        return {"count": self.count}

    def load_state(self, state):
        self.count = state["count"]


class Bench:
    """A saver over a real folder, driven by hand."""

    def __init__(self, run_dir):
        self.clock = ManualClock()
        self.record = RunRecord(run_dir, config_toml="", clock=self.clock)
        self.counting = Counting(3)
        self.saver = self.make_saver(self.counting)
        self.record.observe(make_run_started())

    def make_saver(self, counting):
        observers = {"counting": counting, "stateless": object(), "record": self.record}
        return Saver(self.record, observers=observers, stream_faults=lambda: {"decode_error": 1}, clock=self.clock)

    def predict(self, index):
        for event in (FrameCaptured(index, 100.0), make_prediction(make_frame(index))):
            self.saver.position.observe(event)
            self.record.observe(event)

    def settled(self):
        return list(self.saver.settle(patience_s=60.0))

    def newest(self):
        return newest_checkpoint(self.record.path / "checkpoints").checkpoint


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path / "run")
    yield made
    made.record.close()


def test_a_checkpoint_knows_events_position_and_observers(bench) -> None:
    bench.predict(0)
    bench.predict(1)
    bench.saver.save(snapshot())
    (saved,) = bench.settled()
    assert (saved.version, saved.next_frame, saved.error) == (1, 2, "")
    checkpoint = bench.newest()
    content = (bench.record.path / "events.jsonl").read_bytes()
    assert checkpoint.events_bytes == len(content)
    assert [json.loads(line)["event"] for line in content.splitlines()] == ["run_started", "prediction", "prediction"]
    again = bench.make_saver(Counting())
    again.restore(checkpoint)
    assert (again.position.next_frame, again.position.num_before) == (2, 2)
    assert again.stream_faults() == {"decode_error": 2}  # what an earlier process met, and this one


@pytest.mark.parametrize("observers", [{}, {"counting": {"number": 3}}, None])
def test_what_observers_of_another_version_knew_is_refused_in_a_line(bench, observers) -> None:
    checkpoint = Checkpoint(2, 1, 0, {"observers": observers, "stream": {"num_before": 2, "faults": {}}})
    with pytest.raises(CheckpointInvalid, match=r"--resume .*run: its checkpoint is not of this version .*new run"):
        bench.make_saver(Counting()).restore(checkpoint)


def test_a_slow_disk_costs_checkpoints_and_says_so(bench) -> None:
    release = threading.Event()
    bench.record.writer.submit(release.wait)
    bench.predict(0)
    bench.saver.save(snapshot())
    bench.clock.advance(12.0)
    bench.predict(1)
    bench.saver.save(snapshot())
    (left_out,) = bench.saver.finished()
    assert left_out.next_frame == 2 and "the disk is slow, the checkpoint begun 12.0 s ago" in left_out.error
    assert bench.newest() is None
    release.set()
    (saved,) = bench.settled()
    assert (saved.next_frame, saved.error) == (1, "")
    bench.saver.save(snapshot())
    assert [saved.next_frame for saved in bench.settled()] == [2]


def test_a_disk_that_refuses_is_told_and_tried_again(bench) -> None:
    blocked = bench.record.path / "checkpoints"
    blocked.write_text("a file where the folder should be")
    bench.predict(0)
    bench.saver.save(snapshot())
    (failed,) = bench.settled()
    assert "File exists" in failed.error and str(blocked) in failed.error
    blocked.unlink()
    bench.saver.save(snapshot())
    assert [saved.error for saved in bench.settled()] == [""]


def test_the_same_thing_is_saved_once(bench) -> None:
    bench.predict(0)
    bench.saver.save(snapshot())
    assert len(bench.settled()) == 1
    bench.saver.save(snapshot())
    assert bench.settled() == []
    bench.saver.save(snapshot(version=2))
    assert [saved.version for saved in bench.settled()] == [2]


def test_without_new_snapshots_the_last_one_is_saved_with_the_new_position(bench) -> None:
    bench.predict(0)
    bench.saver.save(snapshot())
    bench.settled()
    bench.predict(1)
    bench.saver.save_again(every_s=10.0)
    assert bench.settled() == []
    bench.clock.advance(10.0)
    bench.saver.save_again(every_s=10.0)
    assert [saved.next_frame for saved in bench.settled()] == [2]


def test_the_position_is_behind_all_that_has_an_outcome() -> None:
    position = Position()
    for index in range(4):
        position.observe(FrameCaptured(index, 100.0))
    position.observe(FrameDropped(0, "stale", 100.0))
    position.observe(make_prediction(make_frame(1)))
    assert (position.next_frame, position.num_before, position.in_flight) == (2, 2, 2)
    position.observe(FrameDropped(3, "invalid", 100.0))
    assert (position.next_frame, position.num_before, position.in_flight) == (2, 2, 1), "frame 2 has no outcome yet"
    position.observe(FrameDropped(2, "late", 100.0))
    assert (position.next_frame, position.num_before, position.in_flight) == (4, 4, 0)


@pytest.mark.parametrize("is_answered_first", [True, False])
def test_a_frame_that_the_end_of_the_process_cost_is_met_again(is_answered_first) -> None:
    position = Position()
    answered, dropped = make_prediction(make_frame(0)), FrameDropped(1, "shutdown", 100.0)
    for event in (FrameCaptured(0, 100.0), FrameCaptured(1, 100.0)):
        position.observe(event)
    for event in (answered, dropped) if is_answered_first else (dropped, answered):
        position.observe(event)
    assert (position.next_frame, position.num_before, position.in_flight) == (1, 1, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60), st.integers(0, 100))
def test_a_run_that_goes_on_meets_every_frame_without_outcome_and_no_older_one(moves, first) -> None:
    position, open_frames, captured = Position(), [], []
    position.go_on(first, num_before=first)
    for is_capture, which in moves:
        if is_capture or not open_frames:
            index = first + 2 * len(captured)  # a stream may leave numbers out
            captured.append(index)
            open_frames.append(index)
            position.observe(FrameCaptured(index, 100.0))
        else:
            index = open_frames.pop(which % len(open_frames))
            position.observe(FrameDropped(index, "late", 100.0))
        if len(open_frames) < len(captured):
            oldest = min(open_frames, default=captured[-1] + 1)
            assert position.num_before == first + sum(index < position.next_frame for index in captured)
            assert position.next_frame <= oldest and position.in_flight == len(open_frames)
