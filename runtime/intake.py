"""Which captured items get an answer: usable frames that are not too old, while their answer is not too old.

Both judges are owned by one thread, and decide by facts: what the item is, how old it is, what came before it.
"""

# H height, W width

import math
from collections import deque

import numpy as np

from runtime.events import Fault, FrameCaptured, FrameDropped, Prediction
from runtime.observer import Event
from streams.frame import Frame

NO_INDEX = -1  # of an item that is no frame
PATIENCE_S = 1.0  # of nothing but old frames and late answers
PATIENCE_AGES = 2.0
NUM_INFERENCES = 32  # the last ones, which tell how long the next may take
SURE_SHARE = 0.9  # of them take no longer than that
FRESH_PERIODS = 1.5  # the next frame may come a little late


class FrameCheck:
    """Whether an item of a stream is a usable frame; the first usable one fixes the size of all."""

    def __init__(self) -> None:
        self._size_HW: tuple[int, int] | None = None
        self._last_refusal = ""

    def turn_away(self, item: object, *, at_s: float) -> list[Event]:
        """What happens where `item` is unusable; nothing where it may go on. A reason that repeats is told once."""
        refusal = self._refusal(item)
        is_news = refusal != self._last_refusal
        self._last_refusal = refusal
        if not refusal:
            return []
        dropped = FrameDropped(index=index_of(item), reason="invalid", at_s=at_s)
        return [dropped, Fault("capture", f"dropped as invalid: {refusal}", at_s)] if is_news else [dropped]

    def _refusal(self, item: object) -> str:
        if not isinstance(item, Frame):
            return f"{type(item).__name__} is no frame"
        if type(item.index) is not int or item.index < 0:
            return "the index is no whole number from 0"
        if not isinstance(item.captured_at_s, int | float) or not math.isfinite(item.captured_at_s):
            return "the time of capture is no number"
        size_HW = _image_size(item.image_HWC)
        if size_HW is None:
            return "the image is not uint8 of shape (H, W, 3)"
        if item.label_HW is not None and not (_is_label(item.label_HW) and item.label_HW.shape == size_HW):
            return "the label is not uint8 of the image's height and width"
        self._size_HW = self._size_HW or size_HW
        if size_HW != self._size_HW:
            return f"{size_HW[0]}x{size_HW[1]} in a stream that began with {self._size_HW[0]}x{self._size_HW[1]}"
        return ""


def index_of(item: object) -> int:
    """The index an item is accounted under."""
    return item.index if isinstance(item, Frame) and type(item.index) is int else NO_INDEX


def captured(item: object, at_s: float) -> FrameCaptured:
    """The event of its capture, whatever the item is; with a label that can be scored, also of an unusable image."""
    if not isinstance(item, Frame):
        return FrameCaptured(index_of(item), at_s)
    label_HW = item.label_HW if _is_label(item.label_HW) else None
    return FrameCaptured(index_of(item), at_s, label_HW=label_HW, domain=item.domain)


class Freshness:
    """Whether a frame is too old to be worth an answer, and whether an answer came too late to be given.

    A frame may be as old, as its inference could start, as leaves time for an inference that takes as long as nine in
    ten of the last ones; but until a period and a half there may be no fresher one, and one older than `max_age_s`
    never passes. Where an inference and a period fit into `max_age_s`, an answer is given before it is older than that,
    or not at all; where they do not, no answer could be that young, and the age its inference began at decides.

    So no answer is older than said, whatever a busy machine does between two readings of the clock; with one exception:
    after a while of nothing but old frames and late answers whatever comes is answered, until an answer is in time.
    """

    def __init__(self, max_age_s: float, *, period_s: float) -> None:
        self._max_age_s = max_age_s
        self._period_s = period_s
        self._patience_s = max(PATIENCE_S, PATIENCE_AGES * max_age_s)
        self._inferences_s: deque[float] = deque(maxlen=NUM_INFERENCES)
        self._expected_s = 0.0
        self._overdue_since_s: float | None = None

    def is_stale(self, frame: Frame, now_s: float) -> bool:
        """Called once for each frame, as its inference could start."""
        room_s = min(self._max_age_s, max(self._max_age_s - self._expected_s, FRESH_PERIODS * self._period_s))
        return now_s - frame.captured_at_s > room_s and self._is_refused(now_s)

    def is_late(self, prediction: Prediction) -> bool:
        """Called once for each answer, before anybody gets it."""
        self._inferences_s.append(prediction.inference_s)
        position = int(SURE_SHARE * (len(self._inferences_s) - 1))  # rounded down: one of the first few may be odd
        self._expected_s = sorted(self._inferences_s)[position]
        is_attainable = self._period_s + self._expected_s <= self._max_age_s
        at_s = prediction.finished_at_s if is_attainable else prediction.started_at_s
        if at_s - prediction.frame.captured_at_s <= self._max_age_s:
            self._overdue_since_s = None
            return False
        return self._is_refused(prediction.finished_at_s)

    def _is_refused(self, now_s: float) -> bool:
        """Of what is too old: it is, until patience is at its end."""
        if self._overdue_since_s is None:
            self._overdue_since_s = now_s
        return now_s - self._overdue_since_s < self._patience_s


def _image_size(image_HWC: object) -> tuple[int, int] | None:
    if not isinstance(image_HWC, np.ndarray) or image_HWC.dtype != np.uint8 or image_HWC.ndim != 3:
        return None
    height, width, num_channels = image_HWC.shape
    return (height, width) if num_channels == 3 and height and width else None


def _is_label(label_HW: object) -> bool:
    return isinstance(label_HW, np.ndarray) and label_HW.dtype == np.uint8 and label_HW.ndim == 2
