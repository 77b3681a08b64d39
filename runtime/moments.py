"""One picture strip per domain visit: which moment of a visit is kept, and what its pictures are.

The last frame of a visit that the frozen model answered too, else its last frame: by then learning has had its time.
Streams without domains are cut where a shift is detected.
"""

# H height, W width

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from runtime import events
from runtime.events import Event
from streams.datasets.labels import CITYSCAPES
from streams.frame import Frame
from streams.images import colorize, encode_jpeg, encode_png

MAX_VISITS = 32
QUALITY = 88
UNNAMED_DOMAIN = "stream"


@dataclass(frozen=True, slots=True, eq=False)
class VisitMoment:
    """A frame with its answers; `frozen_labels_HW` is None where the frozen model did not see it."""

    visit: int
    frame: Frame
    labels_HW: np.ndarray
    frozen_labels_HW: np.ndarray | None


class MomentKeeper:
    """Follows the visits of a run; holds one moment at a time."""

    def __init__(self) -> None:
        self._visit = -1
        self._domain: str | None = None
        self._moment: VisitMoment | None = None
        self._is_cut = True

    def take(self, event: Event) -> VisitMoment | None:
        """Take in one event; returns the moment of the visit it ended, if it ended one."""
        match event:
            case events.Prediction(frame=frame):
                left = self._enter(frame)
                if self._moment is None or self._moment.frozen_labels_HW is None:
                    self._moment = VisitMoment(self._visit, frame, event.labels_HW, None)
                return left
            case events.ShadowPrediction(frame=frame) if self._moment is not None and frame.domain == self._domain:
                self._moment = VisitMoment(self._visit, frame, event.served_labels_HW, event.labels_HW)
            case events.ShiftEvent() if self._domain is None:
                self._is_cut = True
        return None

    def leave(self) -> VisitMoment | None:
        """The moment of the last visit, once."""
        moment, self._moment = self._moment, None
        return moment if self._visit < MAX_VISITS else None

    def _enter(self, frame: Frame) -> VisitMoment | None:
        if not self._is_cut and frame.domain == self._domain:
            return None
        left = self.leave()
        self._visit += 1
        self._domain = frame.domain
        self._is_cut = False
        return left


def pictures(moment: VisitMoment) -> Iterator[tuple[str, bytes]]:
    """File names and contents: `VISIT-DOMAIN-image.jpg` and -label, -frozen, -adapted as PNG where there are any."""
    frame = moment.frame
    domain = re.sub(r"[^A-Za-z0-9_.]", "_", frame.domain or UNNAMED_DOMAIN)
    stem = f"{moment.visit:02d}-{domain}"
    yield f"{stem}-image.jpg", encode_jpeg(frame.image_HWC, quality=QUALITY)
    maps = {"label": frame.label_HW, "frozen": moment.frozen_labels_HW, "adapted": moment.labels_HW}
    for kind, labels_HW in maps.items():
        if labels_HW is not None:
            yield f"{stem}-{kind}.png", encode_png(colorize(labels_HW, CITYSCAPES.colors))
