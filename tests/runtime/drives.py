"""Drives of the live driver: streams, predictors and cycles made of functions, and what was seen on the way."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from runtime import events
from runtime.live import Live
from runtime.observer import Event
from runtime.rules import LiveRules, ThreadBudget
from tests.fakes import make_frame, make_prediction


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
