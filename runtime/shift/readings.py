"""Readings: any number per frame as a signal, smoothed and scaled by what it is on source samples.

signal = Readings(lambda sight: sight.prediction.confidence, SourceRange.of(source_values))
"""

# N samples

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.shift.calibration import MIN_SAMPLES
from runtime.shift.sight import Sight
from runtime.state import State

EDGE_QUANTILE = 0.95  # and its mirror image, so that one source sample in ten lies outside
SMOOTHING = 0.25  # weight of the newest frame, as for the appearance
_LEAST_WIDTH = 1e-9


@dataclass(frozen=True, slots=True)
class SourceRange:
    """Median and edges of a number on the source, in its own units."""

    centre: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values_N: Sequence[float], *, quantile: float = EDGE_QUANTILE) -> "SourceRange":
        """ValueError with fewer than MIN_SAMPLES values."""
        if len(values_N) < MIN_SAMPLES:
            raise ValueError(f"a signal is calibrated on at least {MIN_SAMPLES} source samples, got {len(values_N)}")
        lower, centre, upper = np.quantile(values_N, (1 - quantile, 0.5, quantile)).tolist()
        return cls(centre, lower, upper)

    @classmethod
    def of_distances(cls, values_N: Sequence[float], *, quantile: float = 0.9) -> "SourceRange":
        """For a number that is least on the source: less than the median is no shift."""
        upper = cls.of(values_N, quantile=quantile)
        return cls(upper.centre, -np.inf, upper.upper)

    def scaled(self, value: float) -> float:
        """0 at the centre, +-1 at the edges, linear between and beyond."""
        offset = value - self.centre
        width = self.upper - self.centre if offset > 0 else self.centre - self.lower
        return offset / max(width, _LEAST_WIDTH)


class Readings:
    """Smoothed before it is scaled; the first frame counts in full."""

    def __init__(self, measure: Callable[[Sight], float], source: SourceRange) -> None:
        self._measure = measure
        self._source = source
        self._smoothed: float | None = None

    @property
    def typical(self) -> float:
        return 0.0

    def read(self, sight: Sight) -> float:
        value = self._measure(sight)
        self._smoothed = value if self._smoothed is None else self._smoothed + SMOOTHING * (value - self._smoothed)
        return self._source.scaled(self._smoothed)

    def state(self) -> State:
        return {"smoothed": self._smoothed}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"smoothed": float() | None as smoothed}:
                self._smoothed = smoothed
            case _:
                raise ValueError(f"not the state of a signal's readings: it has the keys {sorted(state)}")
