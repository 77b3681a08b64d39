"""Does a reading grow? Slopes that a few odd samples cannot move, with the interval they lie in.

    trend = Trend.of(times_s, rss_mb, window_s=30.0)
    trend.slope_per_h, trend.low_per_h, trend.high_per_h

The slope is the median over all pairs of points (Theil 1950), the interval follows from Kendall's tau (Sen 1968,
"Estimates of the regression coefficient based on Kendall's tau", JASA 63, section 3). Points are medians of short
windows: neighbouring samples of one process are far from independent, which the interval takes them to be.
"""

# N windows

import math
from dataclasses import dataclass

import numpy as np

NORMAL_QUANTILE = 1.96  # two-sided 95 %
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Trend:
    """Growth per hour in the reading's unit, with its 95 % interval; all nan from fewer than two windows."""

    slope_per_h: float
    low_per_h: float
    high_per_h: float
    num: int

    @classmethod
    def of(cls, times_s: np.ndarray, values: np.ndarray, *, window_s: float) -> "Trend":
        """Of samples in the order of their times."""
        windows = np.floor((times_s - times_s[0]) / window_s) if times_s.size else times_s
        kept = [windows == window for window in np.unique(windows)]
        times_N = np.array([times_s[window].mean() for window in kept])
        values_N = np.array([np.median(values[window]) for window in kept])
        num = len(kept)
        if num < 2:
            return cls(math.nan, math.nan, math.nan, num)
        first, second = np.triu_indices(num, k=1)
        slopes = np.sort((values_N[second] - values_N[first]) / (times_N[second] - times_N[first])) * SECONDS_PER_HOUR
        spread = NORMAL_QUANTILE * math.sqrt(num * (num - 1) * (2 * num + 5) / 18)
        low = max(round((slopes.size - spread) / 2) - 1, 0)
        high = min(round((slopes.size + spread) / 2), slopes.size - 1)
        return cls(float(np.median(slopes)), float(slopes[low]), float(slopes[high]), num)
