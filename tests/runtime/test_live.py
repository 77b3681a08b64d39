"""The live driver: the newest frame wins, every frame is accounted for, and no failure is silent."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from runtime import events
from runtime.live import INBOX_CAPACITY, ROOM_FOR_ANSWERS, Inbox, Live
from runtime.rules import LiveRules, ThreadBudget
from tests.fakes import make_frame, make_prediction


class ListedStream:
    """Frames 0 to num - 1; endless without `num`. `before` is called ahead of every frame."""

    def __init__(self, num: int | None, *, before: Callable[[int], object] = lambda _: None) -> None:
        self._num = num
        self._before = before
        self.is_closed = threading.Event()
        self.has_ended = threading.Event()

    name, fps, is_live, num_frames, cursor, faults = "listed", 10.0, False, None, 0, {}

    def __iter__(self) -> Iterator:
        index = 0
        while index != self._num and not self.is_closed.is_set():
            self._before(index)
            yield make_frame(index)
            index += 1
        self.has_ended.set()

    def close(self) -> None:
        self.is_closed.set()


class Predicting:
    """Answers at once; `before` is called ahead of every answer and may raise."""

    def __init__(self, before: Callable[[int], object] = lambda _: None) -> None:
        self._before = before

    def predict(self, frame):
        self._before(frame.index)
        return make_prediction(frame)


class Watching:
    """A cycle that yields one score per prediction; `before` is called ahead of each and may raise."""

    def __init__(self, before: Callable[[int], object] = lambda _: None) -> None:
        self._before = before

    def consider(self, predictions):
        for prediction in predictions:
            self._before(prediction.frame.index)
            yield events.ShiftScore(prediction.frame.index, 0.5, False, 0.0)


def drive(
    stream,
    *,
    predictor=None,
    cycle=None,
    is_lossless=True,
    stop=None,
    dispatch=lambda _: None,
    adapt="thread",
    slack=None,
) -> list[events.Event]:
    """All events of a run. Raises what the run raised, with the events so far as `seen`; no thread may be left."""
    seen: list[events.Event] = []

    def note(event: events.Event) -> None:
        seen.append(event)
        dispatch(event)

    threads = set(threading.enumerate())
    live = Live(
        stream,
        predictor or Predicting(),
        cycle or Watching(),
        clock=lambda: 0.0,
        rules=LiveRules(ThreadBudget(1, 1), adapt, is_lossless=is_lossless, max_age_s=math.inf, slack=slack),
    )
    try:
        live.run(note, stop or threading.Event())
    except BaseException as error:
        error.seen = seen
        raise
    finally:
        assert set(threading.enumerate()) == threads
    return seen


def indices(seen, kind) -> list[int]:
    found = [event for event in seen if isinstance(event, kind)]
    return [event.frame.index if kind is events.Prediction else event.index for event in found]


def in_flight(seen) -> int:
    counts = Counter(type(event) for event in seen)
    return counts[events.FrameCaptured] - counts[events.Prediction] - counts[events.FrameDropped]


def fail(index: int) -> None:
    raise RuntimeError(f"broke at {index}")


def test_lossless_runs_predict_everything_in_order() -> None:
    seen = drive(ListedStream(200))
    assert indices(seen, events.Prediction) == list(range(200))
    assert indices(seen, events.FrameDropped) == [] and in_flight(seen) == 0


def test_a_slow_predictor_gets_the_newest_frame_and_the_rest_is_counted() -> None:
    started = threading.Event()
    stream = ListedStream(30, before=lambda index: index == 1 and started.wait(30))

    def hold_the_first(index: int) -> None:
        started.set()
        if index == 0:
            stream.has_ended.wait(30)

    seen = drive(stream, predictor=Predicting(hold_the_first), is_lossless=False)
    assert indices(seen, events.Prediction) == [0, 29]
    assert indices(seen, events.FrameDropped) == list(range(1, 29))
    assert {event.reason for event in seen if isinstance(event, events.FrameDropped)} == {"stale"}
    assert in_flight(seen) == 0


def test_frames_are_accounted_for_at_every_instant() -> None:
    balance, lowest = 0, []

    def count(event: events.Event) -> None:
        nonlocal balance
        if isinstance(event, events.FrameCaptured):
            balance += 1
        elif isinstance(event, events.Prediction | events.FrameDropped):
            balance -= 1
        lowest.append(balance)

    seen = drive(ListedStream(300), is_lossless=False, dispatch=count)
    assert min(lowest) >= 0 and max(lowest) <= 3 and balance == 0  # one captured, one waiting, one being predicted
    assert len(indices(seen, events.FrameCaptured)) == 300


def test_while_nobody_takes_answers_few_of_them_wait_and_every_frame_is_still_accounted_for() -> None:
    far_ahead = threading.Event()
    stream = ListedStream(1500, before=lambda index: index == 1200 and far_ahead.set())
    seen = drive(stream, is_lossless=False, dispatch=lambda _: far_ahead.wait(30))
    captured_late = next(
        number for number, event in enumerate(seen) if isinstance(event, events.FrameCaptured) and event.index == 1199
    )
    assert len(indices(seen[:captured_late], events.Prediction)) <= ROOM_FOR_ANSWERS
    assert len(indices(seen, events.FrameCaptured)) == 1500
    assert len(indices(seen, events.Prediction)) + len(indices(seen, events.FrameDropped)) == 1500


def test_an_observer_that_fails_while_much_is_waiting_leaves_no_thread() -> None:
    far_ahead = threading.Event()
    stream = ListedStream(None, before=lambda index: index == 1200 and far_ahead.set())

    def hold_then_fail(_: events.Event) -> None:
        far_ahead.wait(30)
        fail(0)

    with pytest.raises(RuntimeError, match="broke at 0"):
        drive(stream, is_lossless=False, dispatch=hold_then_fail)


def test_learning_that_fails_is_told_and_prediction_goes_on() -> None:
    """Whichever prediction reaches the learner first: a late start may have cost it the oldest in its inbox."""
    seen = drive(ListedStream(50), cycle=Watching(fail))
    assert indices(seen, events.Prediction) == list(range(50))
    (fault,) = (event for event in seen if isinstance(event, events.Fault))
    assert fault.component == "learner" and fault.detail.startswith("RuntimeError: broke at ")
    assert not any(isinstance(event, events.ShiftScore) for event in seen)


def test_prediction_that_fails_ends_the_run_and_is_raised() -> None:
    for is_lossless in (True, False):
        with pytest.raises(RuntimeError, match="broke at 5") as caught:
            drive(
                ListedStream(None),
                predictor=Predicting(lambda index: index >= 5 and fail(5)),
                is_lossless=is_lossless,
            )
        assert 1 <= in_flight(caught.value.seen) <= 2  # the frame that broke it, and perhaps one that waited


def test_a_stream_that_fails_is_raised_after_what_came_before_it() -> None:
    with pytest.raises(RuntimeError, match="broke at 7") as caught:
        drive(ListedStream(9, before=lambda index: index == 7 and fail(index)))
    assert indices(caught.value.seen, events.Prediction) == list(range(7))


def test_an_observer_that_fails_leaves_no_thread() -> None:
    with pytest.raises(ZeroDivisionError):
        drive(ListedStream(None), dispatch=lambda event: isinstance(event, events.Prediction) and 1 // 0)


def test_stop_ends_an_endless_stream() -> None:
    for is_lossless in (True, False):
        stop = threading.Event()
        stream = ListedStream(None)
        seen = drive(stream, stop=stop, is_lossless=is_lossless, dispatch=lambda _, stop=stop: stop.set())
        assert stream.is_closed.is_set() and stream.has_ended.is_set()
        assert in_flight(seen) == 0


def test_a_stop_before_the_start_ends_at_once() -> None:
    stop = threading.Event()
    stop.set()
    assert in_flight(drive(ListedStream(None), stop=stop)) == 0


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

    seen = drive(
        ListedStream(20), predictor=Predicting(note("predict")), cycle=Watching(note("watch")), adapt="inline"
    )
    assert done == [(what, index, "inference") for index in range(20) for what in ("predict", "watch")]
    assert sum(isinstance(event, events.ShiftScore) for event in seen) == 20


def test_learning_that_fails_inline_is_told_once_and_prediction_goes_on() -> None:
    seen = drive(ListedStream(20), cycle=Watching(fail), adapt="inline")
    assert indices(seen, events.Prediction) == list(range(20))
    assert [event.detail for event in seen if isinstance(event, events.Fault)] == ["RuntimeError: broke at 0"]


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
