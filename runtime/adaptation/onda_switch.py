"""OnDA's hybrid switch: which network's answers are the prior of pseudo-labels, the static or the dynamic one.

    is_static = switch.update(static_confidence)

Panagiotakopoulos et al., ECCV 2022, arXiv 2207.10667, section 3.3, with the constants of the released code. The median
of the last 200 confidences of the source network decides where it is clear: above 0.90 the source network is trusted,
below 0.83 a later one is. Between them the trend does: confidence that rises means a way back to the source, confidence
that falls a way out, and the last trend steep enough stands. The trend is the difference of two Hamming-weighted means
of 199 values, one step apart; until 200 values are known there is none.
"""

from collections import deque
from statistics import median

import numpy as np

from runtime.state import State

NUM_VALUES = 200
GRAY_AREA = (0.83, 0.90)  # 0.87 to 0.91 in fog
STEEP = 2e-4


class HybridSwitch:
    """Static at first. `trend` is 0 until it is known."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=NUM_VALUES)
        self._weights = np.hamming(NUM_VALUES - 1)
        self._weights /= self._weights.sum()
        self._is_static_by_trend = True
        self._is_static = True

    @property
    def is_static(self) -> bool:
        return self._is_static

    @property
    def trend(self) -> float:
        """Change of the weighted mean confidence by the last value."""
        if len(self._values) < NUM_VALUES:
            return 0.0
        values = np.array(self._values)
        return float(self._weights @ values[1:] - self._weights @ values[:-1])

    @property
    def is_steep(self) -> bool:
        return abs(self.trend) > STEEP

    def update(self, confidence: float) -> bool:
        """Whether the static network is the prior now, given its mean top-1 probability in [0, 1] on this frame."""
        self._values.append(confidence)
        if self.is_steep:
            self._is_static_by_trend = self.trend > 0
        level = median(self._values)
        if level < GRAY_AREA[0]:
            self._is_static = False
        elif level > GRAY_AREA[1]:
            self._is_static = True
        else:
            self._is_static = self._is_static_by_trend
        return self._is_static

    def state(self) -> State:
        """The values, and both decisions."""
        return {
            "values": list(self._values),
            "is_static_by_trend": self._is_static_by_trend,
            "is_static": self._is_static,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "values": list(values),
                "is_static_by_trend": bool(is_static_by_trend),
                "is_static": bool(is_static),
            }:
                self._values = deque((float(value) for value in values), maxlen=NUM_VALUES)
                self._is_static_by_trend, self._is_static = is_static_by_trend, is_static
            case _:
                raise ValueError(f"not the state of a switch: it has the keys {sorted(state)}")
