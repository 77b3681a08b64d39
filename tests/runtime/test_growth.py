"""What a run remembers does not grow with the run: twice the frames, visits, shifts and steps, the same memory.

Bounded memories fill first, one of them with 1800 visits; what is counted afterwards may not be more.
"""

import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType, MethodType, ModuleType

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from torch import Tensor

from evaluation.scoreboard import Scoreboard
from runtime import events
from runtime.effort import LEVELS
from runtime.governor import Governor
from runtime.label_sets import COMPONENTS, DROP_REASONS, GATE_REASONS, SHIFT_KINDS, STEP_OUTCOMES
from runtime.metrics import Metrics
from runtime.observer import Event
from runtime.record import RunRecord
from runtime.saving import Position
from runtime.status import Status
from runtime.summary import SummaryBuilder
from runtime.supervision import Heartbeat, Supervisor
from streams.frame import Frame
from tests.fakes import (
    CLASSES,
    ManualClock,
    make_governor_changed,
    make_prediction,
    make_recall,
    make_run_started,
    make_shadow,
    make_step,
)

FILLED = {"scores": 1024, "status": 1800}  # visits, after which a memory holds what it may
FILLED_MOSTLY = 512
DOMAINS = tuple(f"domain_{number}" for number in range(7))
WINDOW = 256  # visits: so many leave the slices of a run's counts at a time
SLACK_BYTES = 8192  # numbers get longer, and lists keep spare places; some ten bytes a visit
CODE = (type, ModuleType, FunctionType, MethodType)


def deep_size(*roots: object) -> int:
    """Bytes of everything that hangs on `roots`, each thing once; code is nobody's memory."""
    seen: set[int] = set()
    waiting = list(roots)
    total = 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, CODE):
            continue
        seen.add(id(thing))
        total += thing.untyped_storage().nbytes() if isinstance(thing, Tensor) else sys.getsizeof(thing)
        waiting.extend(gc.get_referents(thing))
    return total


def happenings(first: int, num: int) -> Iterator[Event]:
    """One visit a number, of a single frame; beside the answer everything that may come with it, reasons in turn."""
    labels_HW = np.arange(32, dtype=np.uint8).reshape(4, 8) % len(CLASSES)
    image_HWC = np.zeros((4, 8, 3), np.uint8)
    for number in range(first, first + num):
        at_s = 100.0 + number
        index = 2 * number
        frame = Frame(index, at_s, image_HWC, label_HW=labels_HW, domain=DOMAINS[number % len(DOMAINS)])
        prediction = make_prediction(frame, version=number)
        yield events.FrameCaptured(index, at_s, label_HW=labels_HW, domain=frame.domain)
        yield events.FrameCaptured(index + 1, at_s)
        yield prediction
        yield events.FrameDropped(index + 1, DROP_REASONS[number % len(DROP_REASONS)], at_s)
        yield make_shadow(prediction, agreeing_rows=2)
        yield events.FrameGated(index, GATE_REASONS[number % len(GATE_REASONS)], at_s)
        yield events.ShiftScore(index, 1.5, True, at_s)
        yield events.ShiftEvent(index, SHIFT_KINDS[number % len(SHIFT_KINDS)], 1.5, frame.domain, at_s)
        yield make_step(index, outcome=STEP_OUTCOMES[number % len(STEP_OUTCOMES)], version=number, at_s=at_s)
        yield make_step(index, version=number, at_s=at_s)
        yield events.Rollback(index, number, f"refused at {number}", at_s)
        yield events.TrustChanged(index, number % 2 == 0, 0.9, number, at_s)
        yield replace(make_recall(index, at_s=at_s), domain=number, version=number)
        yield make_recall(index, refusal=f"refused at {number}", at_s=at_s)
        yield make_governor_changed(number % len(LEVELS), at_s=at_s)
        yield events.CheckpointSaved(number, "" if number % 2 else f"disk full at {number}", at_s, index)
        yield events.Fault(COMPONENTS[number % len(COMPONENTS)], f"broke at {number}", at_s)
        yield events.WorkerChanged("learner", "restarted", at_s)


class Governing:
    """A governor as an observer: it hears of predictions and steps."""

    def __init__(self) -> None:
        self._governor = Governor(period_s=0.1)

    def observe(self, event: Event) -> None:
        if isinstance(event, events.Prediction):
            self._governor.update(event)
            self._governor.admits_step()
        elif isinstance(event, events.AdaptationStep):
            self._governor.note_step(event)


class Supervising:
    """A supervisor as an observer: it hears of predictions."""

    def __init__(self) -> None:
        clock = ManualClock()
        self._supervisor = Supervisor({"learner": Heartbeat(clock)}, period_s=0.1, clock=clock)

    def observe(self, event: Event) -> None:
        if isinstance(event, events.Prediction):
            self._supervisor.note(event)


def recorded(folder):
    record = RunRecord(folder / "run", config_toml="")
    return record, record.close


OBSERVERS = {
    "position": lambda _: (Position(), int),
    "status": lambda _: (Status(), int),
    "metrics": lambda _: (Metrics(CollectorRegistry(), stream="rain", classes=CLASSES), int),
    "summary": lambda _: (SummaryBuilder({}), int),
    "record": recorded,
    "governor": lambda _: (Governing(), int),
    "supervisor": lambda _: (Supervising(), int),
    "scores": lambda _: (Scoreboard(CLASSES), int),
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_no_observer_grows_with_the_run(tmp_path, name) -> None:
    observer, close = OBSERVERS[name](tmp_path)
    observer.observe(make_run_started())
    filled = FILLED.get(name, FILLED_MOSTLY)
    for event in happenings(0, filled):
        observer.observe(event)
    early = peak(observer, filled)
    for event in happenings(filled + WINDOW, filled):
        observer.observe(event)
    late = peak(observer, 2 * filled + WINDOW)
    close()
    assert late <= early + SLACK_BYTES


def peak(observer: object, first: int) -> int:
    """The largest size within WINDOW visits from `first` on: a memory that makes room goes up and down."""
    sizes = []
    for start in range(first, first + WINDOW, WINDOW // 8):
        for event in happenings(start, WINDOW // 8):
            observer.observe(event)
        sizes.append(settled_size(observer))
    return max(sizes)


def settled_size(observer: object) -> int:
    """Once the disk has what was handed to it."""
    if isinstance(observer, RunRecord):
        observer.flush()
        observer.writer.submit(int).result(timeout=60)
        observer.flush()
    return deep_size(observer)


def test_frames_that_are_never_answered_leave_nothing_behind() -> None:
    """A camera that sends rubbish for hours."""
    position = Position()
    sizes = []
    for index in range(3000):
        position.observe(events.FrameCaptured(index, 100.0))
        position.observe(events.FrameDropped(index, "invalid", 100.0))
        sizes.append(deep_size(position))
    assert sizes[-1] <= sizes[10] + 64  # numbers get longer


def test_what_is_forgotten_to_be_bounded_shows() -> None:
    class Hoarding:
        def __init__(self) -> None:
            self.numbers: list[int] = []

        def observe(self, event: Event) -> None:
            if isinstance(event, events.ShiftEvent):
                self.numbers.append(event.frame_index)

    hoard = Hoarding()
    early = peak(hoard, 0)
    assert peak(hoard, WINDOW) > early + SLACK_BYTES / 2
