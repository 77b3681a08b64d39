"""Predict-then-reveal scores of a run: an observer that compares predictions with the labels their frames carry.

A prediction is fixed before its frame is learned from, so scoring it against that frame's label is an honest test
(prequential: Gama, Sebastiao, Rodrigues 2013). Reads events, steers nothing.

Adapted and frozen scores are only ever compared on the same frames: where the frozen model shadowed a part of the
frames, both are taken over that part; where it shadowed none, the adapted score covers every frame and the frozen one
is nan. Frames without a label, or with one that cannot be scored, count nowhere. Memory does not grow with the run.
"""

# K classes

import sys
import threading
from dataclasses import dataclass
from typing import cast

import numpy as np

from evaluation.confusion import Confusion, SlidingConfusion, count_pixels
from evaluation.slices import SliceKey, SliceLog, Slices
from evaluation.visit_log import VisitLog
from evaluation.visits import ConfusionPair
from evaluation.windows import HarmedWindows, SlidingPair
from runtime.events import Prediction, RunStarted, ShadowPrediction
from runtime.observer import Event
from runtime.scores import Scores
from runtime.state import State
from streams.frame import Frame

RECENT_FRAMES = 25  # a third of a default visit: short enough to show a change of weather, long enough for rare classes
UNNAMED_DOMAIN = "stream"


@dataclass(frozen=True, slots=True)
class RecentScore:
    """mIoU in [0, 1] over the last `RECENT_FRAMES` labelled frames; nan where there is nothing to score."""

    miou: float
    miou_frozen: float


class OnlineScore:
    """Confusions of the run so far, adapted and frozen: cumulative, by domain visit, over sliding windows, in slices.

    `observe` is called by one thread, the readers by any. A frame costs one `count_pixels`, its shadow two more (0.2 ms
    each at 256x512).
    """

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._lock = threading.Lock()
        self._served = Confusion(len(classes))
        self._pair = ConfusionPair(len(classes))
        self._visits = VisitLog(len(classes))
        self._num_scored = 0
        self._num_unusable = 0
        self._recent_served = SlidingConfusion(len(classes), length=RECENT_FRAMES)
        self._recent_pair = SlidingPair(len(classes), length=RECENT_FRAMES)
        self._windows = HarmedWindows(len(classes))
        self._slices = SliceLog(len(classes))
        self._round_length: int | None = None

    def observe(self, event: Event) -> None:
        match event:
            case Prediction():
                self._score_prediction(event)
            case ShadowPrediction():
                self._score_shadow(event)
            case RunStarted(round_length=round_length):
                self._round_length = round_length

    @property
    def num_unusable(self) -> int:
        """Predictions that could not be scored because their frame's label holds a class outside the label space."""
        return self._num_unusable

    def recent(self) -> RecentScore:
        """The windowed scores alone, cheap enough to be read at every frame (two mIoU of a K x K matrix)."""
        with self._lock:
            return self._recent()

    def scores(self) -> Scores | None:
        """Everything scored so far; None while no labelled frame was predicted."""
        with self._lock:
            figures = self._visits.figures()
            totals = figures.totals
            if not totals.num:
                return None
            served = self._pair.served if totals.num_compared else self._served
            recent = self._recent()
            return Scores(
                classes=self.classes,
                miou=served.miou,
                miou_frozen=self._pair.frozen.miou,
                recent_miou=recent.miou,
                recent_miou_frozen=recent.miou_frozen,
                visits=figures.visits,
                hmean=totals.hmean,
                hmean_frozen=totals.hmean_frozen,
                worst_drop=totals.worst_drop,
                negative_window_share=self._windows.share,
                recovery_frames=figures.recovery_frames,
                class_iou=tuple(served.iou_K.tolist()),
                class_iou_frozen=tuple(self._pair.frozen.iou_K.tolist()),
            )

    @property
    def worst_window(self) -> float:
        """See `HarmedWindows.worst`."""
        return self._windows.worst

    @property
    def windowed(self) -> tuple[float, float]:
        """Mean mIoU over windows, adapted and frozen; see `HarmedWindows`."""
        return self._windows.mean_served, self._windows.mean_frozen

    def slices(self) -> Slices:
        """Counts of all frames that both models answered, a copy."""
        with self._lock:
            return self._slices.slices()

    def state(self) -> State:
        """A copy: half a megabyte for 19 classes, and as much again for every hundred slices."""
        with self._lock:
            return {
                "num_scored": self._num_scored,
                "num_unusable": self._num_unusable,
                "served": self._served.state(),
                "pair": self._pair.state(),
                "visits": self._visits.state(),
                "recent_served": self._recent_served.state(),
                "recent_pair": self._recent_pair.state(),
                "windows": self._windows.state(),
                "slices": self._slices.state(),
            }

    def load_state(self, state: State) -> None:
        """Go on from `state`, which a score over the same classes gave."""
        match state:
            case {"num_scored": int(num_scored), "num_unusable": int(num_unusable), "served": dict(served)}:
                with self._lock:
                    self._num_scored, self._num_unusable = num_scored, num_unusable
                    self._served.load_state(served)
                    self._pair.load_state(cast(State, state["pair"]))
                    self._visits.load_state(cast(State, state["visits"]))
                    self._recent_served.load_state(cast(State, state["recent_served"]))
                    self._recent_pair.load_state(cast(State, state["recent_pair"]))
                    self._windows.load_state(cast(State, state["windows"]))
                    self._slices.load_state(cast(State, state["slices"]))
            case _:
                raise ValueError(f"not the state of an online score: it has the keys {sorted(state)}")

    def _score_prediction(self, event: Prediction) -> None:
        counts_KK = self._count(event.frame, event.labels_HW)
        with self._lock:
            domain = UNNAMED_DOMAIN if event.frame.domain is None else event.frame.domain
            visit = self._visits.enter(domain, frame_index=event.frame.index)
            if counts_KK is None:
                return
            self._num_scored += 1
            self._served.add(counts_KK)
            self._recent_served.push(self._num_scored, counts_KK)
            visit.add_served(counts_KK)

    def _score_shadow(self, event: ShadowPrediction) -> None:
        served_KK = self._count(event.frame, event.served_labels_HW)
        frozen_KK = self._count(event.frame, event.labels_HW)
        if served_KK is None or frozen_KK is None:
            return
        with self._lock:
            self._pair.add(served_KK, frozen_KK)
            if (visit := self._visits.find(event.frame.index)) is not None:
                visit.add_shadowed(served_KK, frozen_KK)
                key = SliceKey(visit.name, visit.visit, event.frame.index // (self._round_length or sys.maxsize))
                self._slices.add(key, event.frame.index, served_KK, frozen_KK)
            self._recent_pair.push(self._num_scored, served_KK, frozen_KK)
            self._windows.push(self._num_scored, served_KK, frozen_KK)

    def _count(self, frame: Frame, labels_HW: np.ndarray) -> np.ndarray | None:
        if frame.label_HW is None:
            return None
        try:
            return count_pixels(frame.label_HW, labels_HW, len(self.classes))
        except ValueError:  # an observer must not end the run for a bad label file; the count below tells of it
            self._num_unusable += 1
            return None

    def _recent(self) -> RecentScore:
        if self._recent_pair.num_frames:
            return RecentScore(self._recent_pair.served.miou, self._recent_pair.frozen.miou)
        return RecentScore(self._recent_served.miou, float("nan"))
