"""The live driver: the newest frame wins, every frame is accounted for, and no failure is silent."""

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from runtime import events
from runtime.inbox import INBOX_CAPACITY, Inbox
from runtime.live import ROOM_FOR_ANSWERS, Live
from runtime.observer import Event
from runtime.rules import LiveRules, ThreadBudget
from tests.fakes import ManualClock, make_frame, make_prediction


class ListedStream:
    """Frames 0 to num - 1; endless without `num`. `before` is called ahead of every frame."""

    def __init__(self, num: int | None, *, before: Callable[[int], object] = lambda _: None) -> None:
        self._num = num
        self._before = before
        self.is_closed = threading.Event()
        self.has_ended = threading.Event()
        self.on_first_close: Callable[[], object] = lambda: None

    name, fps, is_live, num_frames, cursor, faults = "listed", 10.0, False, None, 0, {}

    def __iter__(self) -> Iterator:
        index = 0
        while index != self._num and not self.is_closed.is_set():
            self._before(index)
            yield make_frame(index)
            index += 1
        self.has_ended.set()

    def close(self) -> None:
        if not self.is_closed.is_set():
            self.is_closed.set()
            self.on_first_close()


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
        self.is_given_up = threading.Event()

    def consider(self, predictions):
        for prediction in predictions:
            self._before(prediction.frame.index)
            yield events.ShiftScore(prediction.frame.index, 0.5, False, 0.0)

    def recover(self, frame_index):
        yield events.Rollback(frame_index, 0, "recovered", 0.0)

    def give_up(self):
        self.is_given_up.set()


def live_of(stream, *, predictor=None, cycle=None, clock=lambda: 0.0, **rules) -> Live:
    rules = {"adapt": "thread", "is_lossless": True, "max_age_s": math.inf} | rules
    return Live(
        stream,
        predictor or Predicting(),
        cycle or Watching(),
        clock=clock,
        rules=LiveRules(ThreadBudget(1, 1), **rules),
    )


def drive(
    stream, *, stop=None, dispatch=lambda _: None, release=lambda: None, left_behind=(), **parts
) -> list[Event]:
    """All events of a run. Raises what the run raised, with the events so far as `seen`.

    No thread may be left but those `left_behind`, and not even those once `release` has let go of them.
    """
    seen: list[Event] = []

    def note(event: Event) -> None:
        seen.append(event)
        dispatch(event)

    threads = set(threading.enumerate())
    live = live_of(stream, **parts)
    try:
        live.run(note, stop or threading.Event())
    except BaseException as error:
        error.seen = seen
        raise
    finally:
        workers = set(threading.enumerate()) - threads
        assert {worker.name for worker in workers} == set(left_behind)
        release()
        for worker in workers:
            worker.join(30)
            assert not worker.is_alive()
    assert live.left_behind == set(left_behind)
    return seen


def wait_for_end(workers: set[str]) -> None:
    for thread in threading.enumerate():
        if thread.name in workers:
            thread.join(30)


def when_ended(workers: set[str], then: Callable[[], object]) -> Callable[[], object]:
    """Something to do on close: once these workers have ended, `then`."""
    return threading.Thread(target=lambda: (wait_for_end(workers), then())).start


def indices(seen, kind) -> list[int]:
    found = [event for event in seen if isinstance(event, kind)]
    return [event.frame.index if kind is events.Prediction else event.index for event in found]


def changes(seen) -> list[tuple[str, str]]:
    return [(event.component, event.state) for event in seen if isinstance(event, events.WorkerChanged)]


def faults(seen) -> list[tuple[str, str]]:
    return [(event.component, event.detail) for event in seen if isinstance(event, events.Fault)]


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
    seen = drive(ListedStream(20), cycle=Watching(fail), adapt="inline")
    assert indices(seen, events.Prediction) == list(range(20))
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


def test_a_hung_learner_costs_no_prediction_and_does_not_hold_up_the_end() -> None:
    clock = ManualClock()
    is_hung, wakes, woke = threading.Event(), threading.Event(), []

    def hang(index: int) -> None:
        if not is_hung.is_set():
            is_hung.set()
            wakes.wait(60)
            woke.append(index)

    cycle = Watching(hang)
    predictor = Predicting(lambda index: index == 20 and is_hung.wait(30) and clock.advance(10.0))
    seen = drive(
        ListedStream(40), predictor=predictor, cycle=cycle, clock=clock, release=wakes.set, left_behind=["learner"]
    )
    assert indices(seen, events.Prediction) == list(range(40)) and in_flight(seen) == 0
    (fault,) = (detail for component, detail in faults(seen) if component == "learner")
    assert fault.startswith("no sign of life for 10.0 s")
    assert [state for component, state in changes(seen) if component == "learner"] == ["hung"]
    assert cycle.is_given_up.is_set() and len(woke) == 1, "it woke in the end, and"
    assert not any(isinstance(event, events.ShiftScore) for event in seen), "nothing it said was heard"


def test_a_long_step_does_not_hold_up_a_stop() -> None:
    clock = ManualClock()
    stop, is_busy, ends = threading.Event(), threading.Event(), threading.Event()
    cycle = Watching(lambda _: (is_busy.set(), ends.wait(60)))
    stream = ListedStream(None, before=lambda index: index == 5 and is_busy.wait(30) and stop.set())
    stream.on_first_close = when_ended({"capture", "inference"}, lambda: clock.advance(2.5))
    seen = drive(stream, cycle=cycle, stop=stop, clock=clock, release=ends.set, left_behind=["learner"])
    assert faults(seen) == [("learner", "still at work 2 s after the end was asked for")]
    assert cycle.is_given_up.is_set()


def test_a_stream_that_gives_nothing_is_stale_until_it_does() -> None:
    clock = ManualClock()
    is_stale = threading.Event()
    stream = ListedStream(10, before=lambda index: index == 5 and clock.advance(4.0) and is_stale.wait(30))
    seen = drive(
        stream,
        clock=clock,
        dispatch=lambda event: isinstance(event, events.WorkerChanged) and event.state == "stale" and is_stale.set(),
    )
    assert faults(seen) == [("capture", "no frame for 4.0 s; waiting for the stream")]
    assert changes(seen) == [("capture", "stale"), ("capture", "ok")]
    assert indices(seen, events.Prediction) == list(range(10))


def test_a_camera_that_never_answers_does_not_hold_up_a_stop() -> None:
    clock = ManualClock()
    stop, answers = threading.Event(), threading.Event()
    stream = ListedStream(None, before=lambda index: index == 5 and (stop.set(), answers.wait(60)))
    stream.on_first_close = when_ended({"inference", "learner"}, lambda: clock.advance(2.5))
    cycle = Watching()
    seen = drive(stream, cycle=cycle, stop=stop, clock=clock, release=answers.set, left_behind=["capture"])
    assert faults(seen) == [("capture", "still at work 2 s after the end was asked for")]
    assert not cycle.is_given_up.is_set(), "what was learnt is sound, and is saved"


def test_a_hung_inference_is_told_and_a_stop_still_ends_the_run() -> None:
    clock = ManualClock()
    stop, ends = threading.Event(), threading.Event()
    stream = ListedStream(4)
    stream.on_first_close = lambda: clock.advance(2.5)

    def hang(index: int) -> None:
        if index == 3:
            wait_for_end({"capture"})
            clock.advance(31.0)
            ends.wait(60)

    seen = drive(
        stream,
        predictor=Predicting(hang),
        adapt="inline",
        stop=stop,
        clock=clock,
        dispatch=lambda event: isinstance(event, events.WorkerChanged) and stop.set(),
        release=ends.set,
        left_behind=["inference"],
    )
    assert changes(seen) == [("inference", "hung")]
    assert faults(seen) == [
        ("inference", "no answer for 31.0 s; the liveness probe tells whoever can restart the process"),
        ("inference", "still at work 2 s after the end was asked for"),
    ]
    assert indices(seen, events.Prediction) == [0, 1, 2]


def test_an_item_that_is_no_frame_is_dropped_and_the_run_goes_on() -> None:
    class Odd(ListedStream):
        def __iter__(self):
            for frame in super().__iter__():
                yield frame
                if frame.index == 3:
                    yield "no frame"
                    yield None

    seen = drive(Odd(10))
    assert indices(seen, events.Prediction) == list(range(10)) and in_flight(seen) == 0
    assert [event.reason for event in seen if isinstance(event, events.FrameDropped)] == ["invalid", "invalid"]
    assert [detail for _, detail in faults(seen)] == [
        "dropped as invalid: str is no frame",
        "dropped as invalid: NoneType is no frame",
    ]


class Timed(ListedStream):
    """Hands out the first frame at once, then one at each `give`, stamped with the clock's time; `end` ends it."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(None)
        self._clock = clock
        self._given, self._asked = threading.Semaphore(0), threading.Semaphore(0)
        self.newest = -1

    def __iter__(self) -> Iterator:
        while not self.is_closed.is_set():
            self.newest += 1
            yield make_frame(self.newest, at_s=self._clock())
            self._asked.release()  # the frame before lies in the slot
            self._given.acquire()

    def give(self) -> None:
        """Returns once the frame lies in the slot."""
        assert self._asked.acquire(timeout=30)
        self._given.release()
        assert self._asked.acquire(timeout=30)
        self._asked.release()

    def close(self) -> None:
        super().close()
        self._given.release()


class Slow:
    """Moves the clock while it answers; `meanwhile` is what happens then."""

    def __init__(self, clock: ManualClock, meanwhile: Callable[[], object]) -> None:
        self._clock = clock
        self._meanwhile = meanwhile

    def predict(self, frame):
        started_at_s = self._clock()
        self._meanwhile()
        return replace(make_prediction(frame), started_at_s=started_at_s, finished_at_s=self._clock())


def test_under_threefold_overload_no_answer_starts_on_an_old_frame() -> None:
    """Ten frames a second, three periods an answer; with every fourth answer the camera stalls for half a second."""
    clock = ManualClock()
    stream = Timed(clock)
    num_answers = itertools.count(1)

    def take_three_periods() -> None:
        number = next(num_answers)
        for _ in range(3):
            clock.advance(0.1)
            stream.give()
        if number % 4 == 0:
            clock.advance(0.5)
        if number == 40:
            stream.close()

    def come_back(event: Event) -> None:
        """The newest frame was dropped, so inference waits for the camera."""
        if isinstance(event, events.FrameDropped) and event.index == stream.newest and not stream.is_closed.is_set():
            stream.give()

    seen = drive(
        stream,
        predictor=Slow(clock, take_three_periods),
        is_lossless=False,
        clock=clock,
        max_age_s=0.2,
        dispatch=come_back,
    )
    ages_s = [event.started_at_s - event.frame.captured_at_s for event in seen if isinstance(event, events.Prediction)]
    assert len(ages_s) == 40 and max(ages_s) <= 0.2
    assert in_flight(seen) == 0


def test_an_answer_that_comes_out_too_old_is_given_to_nobody_and_never_learned_from() -> None:
    """Ten frames a second, answers in 50 ms; the twentieth takes 250."""
    clock = ManualClock()
    stream = Timed(clock)
    num_answers = itertools.count(1)

    def take_long_once() -> None:
        number = next(num_answers)
        clock.advance(0.25 if number == 20 else 0.05)
        if number == 30:
            stream.close()
        else:
            stream.give()

    seen = drive(
        stream, predictor=Slow(clock, take_long_once), is_lossless=False, clock=clock, max_age_s=0.2, adapt="inline"
    )
    dropped = [event for event in seen if isinstance(event, events.FrameDropped)]
    assert [(event.index, event.reason) for event in dropped][:1] == [(19, "late")]
    answered = [index for index in range(30) if index != 19]
    assert indices(seen, events.Prediction)[:29] == answered
    assert [event.frame_index for event in seen if isinstance(event, events.ShiftScore)][:29] == answered
    assert in_flight(seen) == 0


def test_signs_of_life_can_be_read_of_every_worker() -> None:
    clock = ManualClock()
    assert live_of(ListedStream(1), adapt="inline").silences().keys() == {"capture", "inference"}
    live = live_of(ListedStream(1), clock=clock, predictor=Predicting(lambda _: clock.advance(2.0)))
    silences = live.silences()
    assert silences.keys() == {"capture", "inference", "learner"}
    heard: list[float] = []
    live.run(lambda _: heard.append(silences["inference"]()), threading.Event())
    assert all(silence_s in (0.0, 2.0) for silence_s in heard) and [read() for read in silences.values()] == [0.0] * 3
