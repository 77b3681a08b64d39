"""How sure a score is: intervals by block bootstrap over the frames of a run, paired with the frozen model.

    replicates = resample(slices, seed=0)                    # one run: the score of many runs that might have been
    interval(pooled([replicates.gain_R, ...], seed=0))       # several seeds

Neighbouring frames show the same cars, so they are not drawn one by one. Blocks of BLOCK_FRAMES consecutive frames are
drawn from any place of a visit, its end joined to its beginning (circular block bootstrap: Politis and Romano 1992, "A
circular block-resampling procedure for stationary data"), until there are as many frames as the visit had. Each visit
is resampled for itself: the sequence of weather is the experiment's design, not chance. Adapted and frozen model are
scored on the same draw, and so are runs of other methods on the same frames, hence differences are paired.

A block is 25 frames: 2.5 s at the default rate, in which a car ahead leaves the picture; still three to a visit of the
presets. In a shorter visit it is a third of it, the most that Politis and White allow (2004, "Automatic block-length
selection for the dependent bootstrap"): in a circle a block as long as the visit is the visit, and every draw the same.
A visit of a single slice still is the same in every draw. Over seeds, a replicate draws runs with replacement and one
replicate of each, so that both sources of chance count. With few or short visits and few seeds such intervals are, like
all bootstrap intervals, somewhat too narrow.
"""

# N slices of a run or a visit, R replicates, K classes (rows: truth, columns: prediction)

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.slices import Slices

BLOCK_FRAMES = 25
BLOCKS_PER_VISIT = 3  # at least
NUM_REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle LEVEL of the replicates; nan where there are none."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Harmonic means over visits of mIoU in [0, 1], R of them each; entry r of both is of the same frames."""

    hmean_R: np.ndarray
    hmean_frozen_R: np.ndarray

    @property
    def gain_R(self) -> np.ndarray:
        """The one less the other."""
        gain_R: np.ndarray = self.hmean_R - self.hmean_frozen_R
        return gain_R


def resample(slices: Slices, *, seed: int, num_replicates: int = NUM_REPLICATES) -> Replicates:
    """Scores of resampled runs. Runs over the same frames get the same draws from the same `seed`."""
    served, frozen = _Harmonic(num_replicates), _Harmonic(num_replicates)
    for visit in slices.visits:
        of_visit_N = slices.visit_N == visit
        num = int(of_visit_N.sum())
        block = round(BLOCK_FRAMES / slices.num_frames_N[of_visit_N].max())
        weights_RN = block_weights(
            num,
            block=max(1, min(block, num // BLOCKS_PER_VISIT)),
            num_replicates=num_replicates,
            rng=np.random.default_rng([seed, visit]),
        )
        served.add(resampled_miou(weights_RN, slices.served_NKK[of_visit_N]))
        frozen.add(resampled_miou(weights_RN, slices.frozen_NKK[of_visit_N]))
    return Replicates(served.means_R(), frozen.means_R())


def pooled(runs: Sequence[np.ndarray], *, seed: int) -> np.ndarray:
    """(R,) replicates of the mean over runs: as many runs drawn with replacement, and one replicate of each drawn."""
    values_SR = np.stack(runs)
    num_runs, num_replicates = values_SR.shape
    rng = np.random.default_rng(seed)
    drawn_RS = rng.integers(num_runs, size=(num_replicates, num_runs))
    replicate_RS = rng.integers(num_replicates, size=(num_replicates, num_runs))
    means_R: np.ndarray = values_SR[drawn_RS, replicate_RS].mean(axis=1)
    return means_R


def interval(values_R: np.ndarray) -> Interval:
    """Percentile interval of the values that are numbers."""
    known = values_R[np.isfinite(values_R)]
    if not known.size:
        return Interval(math.nan, math.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(low, high)


def block_weights(num: int, *, block: int, num_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """(R, N) how often each of `num` items in a circle is drawn by blocks of `block`, `num` draws in all."""
    num_blocks = math.ceil(num / block)
    starts_RB = rng.integers(num, size=(num_replicates, num_blocks))
    drawn_RD = (starts_RB[:, :, None] + np.arange(block)).reshape(num_replicates, -1)[:, :num] % num
    offsets_R = num * np.arange(num_replicates)
    counts = np.bincount((drawn_RD + offsets_R[:, None]).ravel(), minlength=num * num_replicates)
    return counts.reshape(num_replicates, num)


def resampled_miou(weights_RN: np.ndarray, counts_NKK: np.ndarray) -> np.ndarray:
    """(R,) mean IoU over present classes of each weighted sum of counts; nan where a sum has no pixels."""
    num_classes = counts_NKK.shape[-1]
    flat_NC = counts_NKK.reshape(len(counts_NKK), -1).astype(np.float64)  # exact up to 2^53 pixels
    counts_RKK = (weights_RN @ flat_NC).reshape(-1, num_classes, num_classes)
    hit_RK = np.diagonal(counts_RKK, axis1=1, axis2=2)
    union_RK = counts_RKK.sum(axis=1) + counts_RKK.sum(axis=2) - hit_RK
    is_present_RK = union_RK > 0
    iou_RK = np.divide(hit_RK, union_RK, out=np.zeros_like(hit_RK), where=is_present_RK)
    num_present_R = is_present_RK.sum(axis=1)
    sums_R = iou_RK.sum(axis=1)
    miou_R = np.full(len(sums_R), np.nan)
    np.divide(sums_R, num_present_R, out=miou_R, where=num_present_R > 0)
    return miou_R


class _Harmonic:
    """Harmonic means over visits, replicate by replicate; a visit without pixels in one does not count there."""

    def __init__(self, num_replicates: int) -> None:
        self._num_R = np.zeros(num_replicates)
        self._reciprocals_R = np.zeros(num_replicates)

    def add(self, miou_R: np.ndarray) -> None:
        is_known_R = np.isfinite(miou_R)
        with np.errstate(divide="ignore"):
            self._reciprocals_R += np.where(is_known_R, 1.0 / np.where(is_known_R, miou_R, 1.0), 0.0)
        self._num_R += is_known_R

    def means_R(self) -> np.ndarray:
        means_R = np.full(len(self._num_R), np.nan)
        np.divide(self._num_R, self._reciprocals_R, out=means_R, where=self._num_R > 0)
        return means_R
