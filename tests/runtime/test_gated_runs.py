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
from runtime.metrics import Metrics
from runtime.observer import Event
from runtime.summary import SummaryBuilder
from streams.frame import Frame
from streams.stream import open_stream
from tests.fakes import make_run_finished, make_run_started

FIRST, NUM = 8, 3  # poisoned frames of the dozen


class Poisoned:
    """The recording with some of its frames replaced by faulty ones."""

    def __init__(self, stream, spoil) -> None:
        self._stream, self._spoil = stream, spoil
        self.name, self.fps, self.is_live, self.num_frames = "poisoned", stream.fps, False, stream.num_frames
        self.cursor, self.faults = 0, {}

    def __iter__(self):
        last = None
        for frame in self._stream:
            is_faulty = FIRST <= frame.index < FIRST + NUM
            last = self._spoil(frame, last) if is_faulty else frame
            yield last

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


def static(frame: Frame, _: Frame) -> Frame:
    rng = np.random.default_rng(frame.index)
    return showing(frame, rng.integers(0, 256, frame.image_HWC.shape, dtype=np.uint8))


def torn(frame: Frame, last: Frame) -> Frame:
    half = len(frame.image_HWC) // 2
    return showing(frame, np.concatenate([frame.image_HWC[:half], last.image_HWC[half:]]))


FAULTS = {
    "black": lambda frame, _: showing(frame, np.zeros_like(frame.image_HWC)),
    "flat": lambda frame, _: showing(frame, np.full_like(frame.image_HWC, 99)),
    "noise": static,
    "duplicate": lambda frame, last: showing(frame, last.image_HWC.copy()),
    "torn": torn,
    "out of order": lambda frame, _: Frame(0, frame.captured_at_s, frame.image_HWC, frame.label_HW, frame.domain),
}


@pytest.mark.parametrize("pace", ["lockstep", "max"])
@pytest.mark.parametrize("reason", FAULTS)
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
