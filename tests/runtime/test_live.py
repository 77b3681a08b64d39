"""The live driver: the newest frame wins, every frame is accounted for, and no failure is silent."""

import threading

import pytest

from runtime import events
from runtime.live import ROOM_FOR_ANSWERS
from runtime.observer import Event
from tests.runtime.drives import ListedStream, Predicting, Watching, drive, fail, faults, in_flight, indices

FAR_AHEAD = 200  # frames: inference waits for room by then, and capture does not yet


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

    def count(event: Event) -> None:
        nonlocal balance
        if isinstance(event, events.FrameCaptured):
            balance += 1
        elif isinstance(event, events.Prediction | events.FrameDropped):
            balance -= 1
        lowest.append(balance)

    seen = drive(ListedStream(300), is_lossless=False, dispatch=count)
    assert min(lowest) >= 0 and max(lowest) <= 3 and balance == 0  # one captured, one waiting, one being predicted
    assert len(indices(seen, events.FrameCaptured)) == 300


class Silent(Watching):
    """Finds nothing worth an event."""

    def consider(self, _):
        yield from ()


def test_while_nobody_takes_answers_few_of_them_wait_and_every_frame_is_still_accounted_for() -> None:
    """One frame in, one answer out, until inference waits for room; from then on capture goes on alone."""
    far_ahead, taken = threading.Event(), threading.Semaphore(0)
    num_with_room = ROOM_FOR_ANSWERS // 2  # a capture and an answer each

    def in_turn(index: int) -> None:
        if 0 < index <= num_with_room + 1:
            assert taken.acquire(timeout=30)
        if index == FAR_AHEAD:
            far_ahead.set()

    seen = drive(
        ListedStream(600, before=in_turn),
        predictor=Predicting(lambda _: taken.release()),
        cycle=Silent(),
        is_lossless=False,
        dispatch=lambda _: far_ahead.wait(30),
    )
    captures = [number for number, event in enumerate(seen) if isinstance(event, events.FrameCaptured)]
    assert indices(seen[: captures[FAR_AHEAD - 1]], events.Prediction) == list(range(num_with_room))
    assert len(captures) == 600
    assert len(indices(seen, events.Prediction)) + len(indices(seen, events.FrameDropped)) == 600


def test_an_observer_that_fails_while_much_is_waiting_leaves_no_thread() -> None:
    far_ahead = threading.Event()
    stream = ListedStream(None, before=lambda index: index == FAR_AHEAD and far_ahead.set())

    def hold_then_fail(_: Event) -> None:
        far_ahead.wait(30)
        fail(0)

    with pytest.raises(RuntimeError, match="broke at 0"):
        drive(stream, is_lossless=False, dispatch=hold_then_fail)


def test_learning_that_fails_is_told_and_prediction_goes_on() -> None:
    """Whichever prediction reaches the learner first: a late start may have cost it the oldest in its inbox."""
    seen = drive(ListedStream(50), cycle=Watching(fail))
    assert indices(seen, events.Prediction) == list(range(50))
    component, detail = faults(seen)[0]
    assert component == "learner" and detail.startswith("RuntimeError: broke at ")
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
