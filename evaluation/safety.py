"""Classes that learning has hurt: a mean over classes hides one that was lost.

A class is unsafe over some frames where its IoU is more than UNSAFE_MARGIN below the frozen model's on the same frames.
"""

# K classes (rows: truth, columns: prediction)

from dataclasses import dataclass

import numpy as np

from evaluation.confusion import iou_by_class
from evaluation.slices import Slices

UNSAFE_MARGIN = 0.10


@dataclass(frozen=True, slots=True)
class ClassSafety:
    """`over_run` are the classes unsafe over all frames; `worst_visit` is the visit with most unsafe classes (None
    where no visit has one), `in_worst_visit` those.
    """

    over_run: tuple[int, ...]
    worst_visit: int | None
    in_worst_visit: tuple[int, ...]


def class_safety(slices: Slices) -> ClassSafety:
    """Over the run, and visit by visit; of visits with equally many, the first."""
    worst_visit: int | None = None
    worst: tuple[int, ...] = ()
    for visit in slices.visits:
        of_visit_N = slices.visit_N == visit
        hurt = unsafe_classes(slices.served_NKK[of_visit_N].sum(axis=0), slices.frozen_NKK[of_visit_N].sum(axis=0))
        if len(hurt) > len(worst):
            worst_visit, worst = visit, hurt
    over_run = unsafe_classes(slices.served_NKK.sum(axis=0), slices.frozen_NKK.sum(axis=0))
    return ClassSafety(over_run, worst_visit, worst)


def unsafe_classes(served_KK: np.ndarray, frozen_KK: np.ndarray) -> tuple[int, ...]:
    """Of counts over the same frames; a class that is not there for one of the models is not unsafe."""
    fall_K = iou_by_class(frozen_KK) - iou_by_class(served_KK)
    return tuple(np.flatnonzero(fall_K > UNSAFE_MARGIN).tolist())
