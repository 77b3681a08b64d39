"""Whatever is wrong with a frame: it is predicted, counted with its reason, and never reaches the learner."""

import threading
from collections import Counter

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from runtime import events
from runtime.adaptation.method import Method
from runtime.adaptation.methods import METHODS, Entry
from runtime.build import build
from runtime.label_sets import GATE_REASONS, OTHER
from runtime.metrics import Metrics
from runtime.observer import Event
from runtime.summary import SummaryBuilder
from streams.frame import Frame
from streams.stream import open_stream
from tests.fakes import make_run_finished, make_run_started

FIRST, NUM = 8, 3  # poisoned frames of the dozen


class Poisoned:
    """The recording with some of its frames replaced by faulty ones, made from what was shown so far."""

    def __init__(self, stream, spoil) -> None:
        self._stream, self._spoil = stream, spoil
        self.name, self.fps, self.is_live, self.num_frames = "poisoned", stream.fps, False, stream.num_frames
        self.cursor, self.faults = 0, {}

    def __iter__(self):
        shown: list[Frame] = []
        for frame in self._stream:
            is_faulty = FIRST <= frame.index < FIRST + NUM
            shown.append(self._spoil(frame, shown) if is_faulty else frame)
            yield shown[-1]

    def close(self) -> None:
        self._stream.close()


class Noting(Method):
    """Learns nothing in particular and keeps the numbers of the frames it was given."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def loss(self, student, target):
        self.seen.append(target.frame_index)
        return sum(parameter.square().mean() for parameter in student.parameters() if parameter.requires_grad)


def showing(frame: Frame, image_HWC: np.ndarray) -> Frame:
    return Frame(frame.index, frame.captured_at_s, image_HWC, frame.label_HW, frame.domain)


def static(frame: Frame, _: list[Frame]) -> Frame:
    rng = np.random.default_rng(frame.index)
    return showing(frame, rng.integers(0, 256, frame.image_HWC.shape, dtype=np.uint8))


def dead_blocks(frame: Frame, _: list[Frame]) -> Frame:
    image_HWC = frame.image_HWC.copy()
    image_HWC[16:24, 16:40] = 180
    return showing(frame, image_HWC)


def torn(frame: Frame, shown: list[Frame]) -> Frame:
    half = len(frame.image_HWC) // 2
    return showing(frame, np.concatenate([frame.image_HWC[:half], shown[-1].image_HWC[half:]]))


def coded_again(frame: Frame, shown: list[Frame]) -> Frame:
    """The last picture with a fifth of its values off by one, as a coder leaves a picture that stands still."""
    last_HWC = shown[-1].image_HWC
    is_off_HWC = np.random.default_rng(frame.index).random(last_HWC.shape) < 0.2
    return showing(frame, np.where(is_off_HWC, last_HWC ^ 1, last_HWC))


FAULTS = {
    "black": lambda frame, _: showing(frame, np.zeros_like(frame.image_HWC)),
    "flat": lambda frame, _: showing(frame, np.full_like(frame.image_HWC, 99)),
    "noise": static,
    "dead blocks": dead_blocks,
    "duplicate": lambda frame, shown: showing(frame, shown[-1].image_HWC.copy()),
    "frozen": coded_again,
    "looped": lambda frame, shown: showing(frame, shown[-4].image_HWC.copy()),
    "torn": torn,
    "out of order": lambda frame, _: Frame(0, frame.captured_at_s, frame.image_HWC, frame.label_HW, frame.domain),
}

LIVE_TOO = ("black", "looped", "out of order")  # told by the frame, by the memory, by its number


def test_there_is_a_fault_for_every_reason() -> None:
    assert {*FAULTS, OTHER} == set(GATE_REASONS)


@pytest.mark.parametrize(
    ("reason", "pace"), [*((reason, "lockstep") for reason in FAULTS), *((reason, "max") for reason in LIVE_TOO)]
)
def test_faulty_frames_are_predicted_counted_and_never_learned_from(tiny_world, reason, pace) -> None:
    noting = Noting()
    METHODS["noting"] = Entry("keeps what it was given", lambda *_: noting)
    try:
        parts = build(
            tiny_world.config(adaptation={"method": "noting"}, run={"pace": pace}),
            open_with=lambda words, options: Poisoned(open_stream(words, options), FAULTS[reason]),
        )
    finally:
        del METHODS["noting"]
    metrics = Metrics(CollectorRegistry(), stream="poisoned", classes=parts.manifest.classes)
    summary = SummaryBuilder({})
    seen: list[Event] = [make_run_started(classes=parts.manifest.classes)]
    parts.driver.run(seen.append, threading.Event())
    for event in [*seen, make_run_finished()]:
        metrics.observe(event)
        summary.observe(event)
    faulty = {0} if reason == "out of order" else set(range(FIRST, FIRST + NUM))
    assert sum(isinstance(event, events.Prediction) for event in seen) == 12
    assert Counter(event.reason for event in seen if isinstance(event, events.FrameGated)) == {reason: NUM}
    assert noting.seen and not faulty & set(noting.seen)
    assert summary.build(None)["adaptation"]["frames_gated"] == {reason: NUM}
    text = metrics.exposition()[1].decode()
    assert f'udaseg_adapt_frames_gated_total{{reason="{reason}"}} {NUM}.0' in text
