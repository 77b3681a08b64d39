"""Frames that are none or too old, and answers too late: dropped, counted, never learned from."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from runtime import events
from runtime.observer import Event
from tests.fakes import ManualClock, make_frame, make_prediction
from tests.runtime.drives import ListedStream, drive, faults, in_flight, indices


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
