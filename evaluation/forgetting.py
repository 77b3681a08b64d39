"""What a run cost on the source: the model's score on held-out source samples before and after it.

Pure: takes predictors as callables and samples as frames, so it knows neither models nor devices.

    lost = forgetting(before, after, held_out, num_classes=19).points_lost
"""

# H height, W width, C channels, K classes

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.confusion import Confusion
from runtime.exam import Predict
from streams.frame import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Forgetting:
    """mIoU and IoU by class in [0, 1] over the same samples; nan for classes neither labelled nor predicted."""

    num_samples: int
    miou_before: float
    miou_after: float
    class_iou_before_K: np.ndarray
    class_iou_after_K: np.ndarray

    @property
    def points_lost(self) -> float:
        """Points of mIoU forgotten; negative where the source score rose."""
        return 100.0 * (self.miou_before - self.miou_after)

    def classes_lost(self, *, points: float = 10.0) -> list[int]:
        """Classes whose IoU fell by more than so many points: a mean can hide them."""
        fall_K = 100.0 * (self.class_iou_before_K - self.class_iou_after_K)
        return [int(k) for k in np.flatnonzero(fall_K > points)]  # nan compares false: absent classes are not lost


def forgetting(before: Predict, after: Predict, samples: Iterable[Frame], *, num_classes: int) -> Forgetting:
    """Score both predictors on every sample, in one pass, so that `samples` may be a generator.

    Raises:
        ValueError: a sample has no label, there is no sample, or shapes and classes do not fit the label.
    """
    confusions = Confusion(num_classes), Confusion(num_classes)
    num_samples = 0
    for sample in samples:
        if sample.label_HW is None:
            raise ValueError(f"source sample {sample.index} has no label; forgetting needs labelled held-out samples")
        for predict, confusion in zip((before, after), confusions, strict=True):
            confusion.update(sample.label_HW, predict(sample.image_HWC))
        num_samples += 1
    if num_samples == 0:
        raise ValueError("no source samples to score; expected at least one labelled held-out frame")
    first, last = confusions
    return Forgetting(num_samples, first.miou, last.miou, first.iou_K, last.iou_K)
