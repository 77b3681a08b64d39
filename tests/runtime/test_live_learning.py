"""What live learning gets to see, when it may compute, and that its failures cost learning alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from runtime import events
from runtime.inbox import INBOX_CAPACITY, Inbox
from tests.fakes import make_frame, make_prediction
from tests.runtime.drives import ListedStream, Predicting, Watching, changes, drive, fail, faults, indices


def test_the_learner_gets_what_came_meanwhile_bounded_oldest_out() -> None:
    inbox = Inbox()
    for index in range(INBOX_CAPACITY + 3):
        inbox.put(make_prediction(make_frame(index)))
    assert inbox.depth() == INBOX_CAPACITY
    assert [prediction.frame.index for prediction in inbox.take_all()] == list(range(3, INBOX_CAPACITY + 3))
    inbox.close()
    assert inbox.take_all() == []


def test_what_waits_at_the_end_is_still_considered() -> None:
    is_over = threading.Event()
    stream = ListedStream(10)
    seen = drive(stream, cycle=Watching(lambda _: stream.has_ended.wait(30)), dispatch=lambda _: is_over.set())
    assert [event.frame_index for event in seen if isinstance(event, events.ShiftScore)] == list(range(10))


def test_inline_learns_between_two_frames_in_the_inference_thread() -> None:
    done: list[tuple[str, int, str]] = []

    def note(what: str) -> Callable[[int], object]:
        return lambda index: done.append((what, index, threading.current_thread().name))

    seen = drive(ListedStream(20), predictor=Predicting(note("predict")), cycle=Watching(note("watch")), adapt="inline")
    assert done == [(what, index, "inference") for index in range(20) for what in ("predict", "watch")]
    assert sum(isinstance(event, events.ShiftScore) for event in seen) == 20


def test_learning_that_fails_inline_is_restarted_three_times_then_stays_off() -> None:
    cycle = Watching(fail)
    seen = drive(ListedStream(20), cycle=cycle, adapt="inline")
    assert indices(seen, events.Prediction) == list(range(20)) and cycle.is_given_up.is_set()
    assert changes(seen) == [("learner", state) for state in ("restarted", "restarted", "restarted", "off")]
    assert [detail for _, detail in faults(seen)] == [
        *(f"RuntimeError: broke at {index}" for index in range(4)),
        "restarted 3 times in 5 minutes; learning stays off",
    ]


def test_learning_that_fails_once_goes_on_from_the_last_good_version() -> None:
    seen = drive(ListedStream(10), cycle=Watching(lambda index: index == 4 and fail(index)), adapt="inline")
    assert [event.frame_index for event in seen if isinstance(event, events.ShiftScore)] == [0, 1, 2, 3, *range(5, 10)]
    assert [event.frame_index for event in seen if isinstance(event, events.Rollback)] == [4]
    assert changes(seen) == [("learner", "restarted")]


class Noting:
    """A slack that notes what happens."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.notes.append("busy")
        yield
        self.notes.append("idle")

    def wait(self) -> None:
        self.notes.append("boundary")

    def working_s(self) -> float:
        return 0.0

    def close(self) -> None:
        self.notes.append("closed")


def test_slack_is_told_of_every_prediction_and_of_the_end() -> None:
    slack = Noting()
    drive(ListedStream(3), adapt="gaps", slack=slack)
    assert slack.notes == [*("busy", "idle") * 3, "closed"]
    broken = Noting()
    with pytest.raises(RuntimeError, match="broke at 0"):
        drive(ListedStream(3), predictor=Predicting(fail), adapt="gaps", slack=broken)
    assert broken.notes == ["busy", "closed"]


def test_learning_in_gaps_comes_to_a_boundary_before_every_operation_and_predicting_to_none() -> None:
    slack = Noting()
    drive(
        ListedStream(3),
        predictor=Predicting(lambda _: torch.ones(1)),
        cycle=Watching(lambda _: torch.ones(1)),
        adapt="gaps",
        slack=slack,
    )
    assert slack.notes.count("boundary") == 3
