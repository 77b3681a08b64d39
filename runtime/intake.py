"""Which captured items get an answer: usable frames that are not too old.

Both judges are owned by one thread, and decide by facts: what the item is, how old it is, what came before it.
"""

# H height, W width

import math

import numpy as np

from runtime.events import Event, Fault, FrameCaptured, FrameDropped
from streams.frame import Frame

NO_INDEX = -1  # of an item that is no frame
PATIENCE_S = 1.0  # of nothing but stale frames
PATIENCE_AGES = 2.0


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
        if item.label_HW is not None and not _is_label(item.label_HW, size_HW):
            return "the label is not uint8 of the image's height and width"
        self._size_HW = self._size_HW or size_HW
        if size_HW != self._size_HW:
            return f"{size_HW[0]}x{size_HW[1]} in a stream that began with {self._size_HW[0]}x{self._size_HW[1]}"
        return ""


def index_of(item: object) -> int:
    """The index an item is accounted under."""
    return item.index if isinstance(item, Frame) and type(item.index) is int else NO_INDEX


def captured(item: object, at_s: float) -> FrameCaptured:
    """The event of its capture, whatever the item is."""
    label_HW, domain = (item.label_HW, item.domain) if isinstance(item, Frame) else (None, None)
    return FrameCaptured(index_of(item), at_s, label_HW=label_HW, domain=domain)


class Freshness:
    """Whether a frame is too old to be worth an answer.

    A stream that gives nothing but old frames is answered all the same: from the first of them on it has some time to
    give a fresh one, then old ones are taken until a fresh one comes.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._patience_s = max(PATIENCE_S, PATIENCE_AGES * max_age_s)
        self._stale_since_s: float | None = None

    def is_stale(self, frame: Frame, now_s: float) -> bool:
        """Called once for each frame, as its inference could start."""
        if now_s - frame.captured_at_s <= self._max_age_s:
            self._stale_since_s = None
            return False
        if self._stale_since_s is None:
            self._stale_since_s = now_s
        return now_s - self._stale_since_s < self._patience_s


def _image_size(image_HWC: object) -> tuple[int, int] | None:
    if not isinstance(image_HWC, np.ndarray) or image_HWC.dtype != np.uint8 or image_HWC.ndim != 3:
        return None
    height, width, num_channels = image_HWC.shape
    return (height, width) if num_channels == 3 and height and width else None


def _is_label(label_HW: object, size_HW: tuple[int, int]) -> bool:
    return isinstance(label_HW, np.ndarray) and label_HW.dtype == np.uint8 and label_HW.shape == size_HW
