"""One picture strip per domain visit: which moment of a visit is kept, and what its pictures are.

The last frame of a visit that the frozen model answered too, else its last frame: by then learning has had its time.
Streams without domains are cut where a shift is detected.
"""

# H height, W width

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runtime import events
from runtime.observer import Event
from runtime.state import State
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

    def state(self) -> State:
        """Which visit it is, and the moment kept of it; arrays are shared, as nobody writes to them."""
        moment = self._moment
        return {
            "visit": self._visit,
            "domain": self._domain,
            "is_cut": self._is_cut,
            "moment": None if moment is None else _kept_moment(moment),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "visit": int(visit),
                "domain": str() | None as domain,
                "is_cut": bool(is_cut),
                "moment": dict() | None as moment,
            }:
                self._visit, self._domain, self._is_cut = visit, domain, is_cut
                self._moment = None if moment is None else _moment_again(visit, domain, moment)
            case _:
                raise ValueError(f"not the state of a moment keeper: it has the keys {sorted(state)}")

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


def _kept_moment(moment: VisitMoment) -> State:
    frame = moment.frame
    return {
        "index": frame.index,
        "captured_at_s": frame.captured_at_s,
        "image": torch.from_numpy(frame.image_HWC),
        "label": _tensor(frame.label_HW),
        "served": torch.from_numpy(moment.labels_HW),
        "frozen": _tensor(moment.frozen_labels_HW),
    }


def _moment_again(visit: int, domain: str | None, state: State) -> VisitMoment:
    match state:
        case {
            "index": int(index),
            "captured_at_s": float(captured_at_s),
            "image": Tensor() as image_HWC,
            "label": Tensor() | None as label_HW,
            "served": Tensor() as served_HW,
            "frozen": Tensor() | None as frozen_HW,
        }:
            frame = Frame(index, captured_at_s, image_HWC.numpy(), label_HW=_array(label_HW), domain=domain)
            return VisitMoment(visit, frame, served_HW.numpy(), _array(frozen_HW))
    raise ValueError(f"not a moment: it has the keys {sorted(state)}")


def _tensor(labels_HW: np.ndarray | None) -> Tensor | None:
    return None if labels_HW is None else torch.from_numpy(labels_HW)


def _array(labels_HW: Tensor | None) -> np.ndarray | None:
    return None if labels_HW is None else labels_HW.numpy()
