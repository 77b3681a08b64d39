"""What an earlier visit is worth to a later one of the same domain: the score a memory of domains must win.

Pure: visits and their recoveries in, figures out. A later visit also shows other places than the first, so the frozen
model's gain over the same visits stands beside: what both gain is the street's doing, not learning's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from runtime.scores import VisitScore


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A domain visited more than once. mIoU in [0, 1], `later` the mean over all visits but the first.

    `recovery_frames` are those the second visit took to 95 % of its plateau, None where that is unknown.
    """

    domain: str
    num_visits: int
    first: float
    later: float
    first_frozen: float
    later_frozen: float
    recovery_frames: int | None

    @property
    def gain(self) -> float:
        return self.later - self.first

    @property
    def gain_frozen(self) -> float:
        return self.later_frozen - self.first_frozen


def recurrences(visits: Sequence[VisitScore], recovery_frames: Sequence[int | None]) -> tuple[Recurrence, ...]:
    """Domains that came back, in the order of their first visit.

    `recovery_frames` are those of the last so many visits, as `Scores` holds them: of all but the run's first.
    """
    unknown: list[int | None] = [None] * (len(visits) - len(recovery_frames))
    stays: dict[str, list[tuple[VisitScore, int | None]]] = {}
    for visit, frames in zip(visits, [*unknown, *recovery_frames], strict=True):
        stays.setdefault(visit.name, []).append((visit, frames))
    return tuple(
        Recurrence(
            domain=domain,
            num_visits=len(of_domain),
            first=of_domain[0][0].miou,
            later=fmean(visit.miou for visit, _ in of_domain[1:]),
            first_frozen=of_domain[0][0].miou_frozen,
            later_frozen=fmean(visit.miou_frozen for visit, _ in of_domain[1:]),
            recovery_frames=of_domain[1][1],
        )
        for domain, of_domain in stays.items()
        if len(of_domain) > 1
    )


def mean_gain(found: Sequence[Recurrence]) -> tuple[float, float]:
    """Means over the domains that came back, adapted and frozen; nan of none."""
    if not found:
        return math.nan, math.nan
    return fmean(one.gain for one in found), fmean(one.gain_frozen for one in found)
