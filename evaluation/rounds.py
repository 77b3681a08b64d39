"""Stability over rounds: is a stream that is played again and again answered as well the tenth time as the first?

The protocol of continual adaptation (Wang et al. 2022, "Continual test-time domain adaptation", plays its sequence ten
times over): a method that drifts loses from round to round, which a mean over the run hides.
"""

# N slices, K classes

import math
from dataclasses import dataclass

import numpy as np

from evaluation.confusion import mean_iou
from evaluation.slices import Slices


@dataclass(frozen=True, slots=True)
class RoundScore:
    """One round: harmonic means of mIoU in [0, 1] over the visits within it, adapted and frozen."""

    round: int
    hmean: float
    hmean_frozen: float


def round_scores(slices: Slices) -> tuple[RoundScore, ...]:
    """In order. A visit that goes on into the next round counts as one in each."""
    return tuple(_score(slices, round_) for round_ in dict.fromkeys(slices.round_N.tolist()))


def worst_later_round(scores: tuple[RoundScore, ...]) -> float:
    """The hmean of the worst round after the first, less that of the first; nan where there is one round only."""
    return min((later.hmean - scores[0].hmean for later in scores[1:]), default=math.nan)


def harmonic_mean(values: list[float]) -> float:
    """Of numbers from 0 on, nan left out: 0 where one of them is, nan of none."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return len(known) / sum(1.0 / value for value in known) if min(known) > 0 else 0.0


def _score(slices: Slices, round_: int) -> RoundScore:
    visits = [
        (slices.round_N == round_) & (slices.visit_N == visit)
        for visit in dict.fromkeys(slices.visit_N[slices.round_N == round_].tolist())
    ]
    return RoundScore(round_, _over(visits, slices.served_NKK), _over(visits, slices.frozen_NKK))


def _over(visits: list[np.ndarray], counts_NKK: np.ndarray) -> float:
    return harmonic_mean([mean_iou(counts_NKK[of_visit_N].sum(axis=0)) for of_visit_N in visits])
