"""Sliding windows over the frames both models answered: how often the adapted one is harmed there, and how badly.

Knows counts and positions, neither events nor locks; `evaluation/online.py` feeds them.
"""

# K classes

import math
from typing import cast

import numpy as np

from evaluation.confusion import SlidingConfusion
from runtime.state import State

WINDOW_FRAMES = 100
NEGATIVE_MARGIN = 0.005  # mIoU below the frozen model's from which a window counts as harmed


class SlidingPair:
    """Adapted and frozen counts of the shadowed ones among the last `length` scored frames."""

    def __init__(self, num_classes: int, *, length: int) -> None:
        self.served = SlidingConfusion(num_classes, length=length)
        self.frozen = SlidingConfusion(num_classes, length=length)

    @property
    def num_frames(self) -> int:
        return self.served.num_frames

    def push(self, position: int, served_KK: np.ndarray, frozen_KK: np.ndarray) -> None:
        """See `SlidingConfusion.push`."""
        self.served.push(position, served_KK)
        self.frozen.push(position, frozen_KK)

    def state(self) -> State:
        """A copy."""
        return {"served": self.served.state(), "frozen": self.frozen.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        self.served.load_state(cast(State, state["served"]))
        self.frozen.load_state(cast(State, state["frozen"]))


class HarmedWindows:
    """Every full window, one ending at each frame from the WINDOW_FRAMES-th on: their mean scores, how many are harmed,
    and the worst.
    """

    def __init__(self, num_classes: int) -> None:
        self._pair = SlidingPair(num_classes, length=WINDOW_FRAMES)
        self._num_windows = 0
        self._num_negative = 0
        self._worst = math.nan
        self._sum_served = 0.0
        self._sum_frozen = 0.0

    @property
    def mean_served(self) -> float:
        """Mean over windows of the adapted model's mIoU, in [0, 1]; nan before the first full window."""
        return self._sum_served / self._num_windows if self._num_windows else math.nan

    @property
    def mean_frozen(self) -> float:
        """The same of the frozen model."""
        return self._sum_frozen / self._num_windows if self._num_windows else math.nan

    @property
    def share(self) -> float:
        """Share in [0, 1] of windows in which the adapted model is below the frozen one by more than the margin; nan
        before the first full window.
        """
        return self._num_negative / self._num_windows if self._num_windows else math.nan

    @property
    def worst(self) -> float:
        """The largest frozen - adapted of any window, in [-1, 1]; below 0 where no window was harmed at all."""
        return self._worst

    def push(self, position: int, served_KK: np.ndarray, frozen_KK: np.ndarray) -> None:
        """Count one window ending at `position`, once as many frames were scored as a window holds."""
        self._pair.push(position, served_KK, frozen_KK)
        if position < WINDOW_FRAMES:
            return
        served, frozen = self._pair.served.miou, self._pair.frozen.miou
        shortfall = frozen - served
        if math.isnan(shortfall):
            return  # not one labelled pixel
        self._num_windows += 1
        self._sum_served += served
        self._sum_frozen += frozen
        self._num_negative += shortfall > NEGATIVE_MARGIN
        self._worst = shortfall if math.isnan(self._worst) else max(self._worst, shortfall)

    def state(self) -> State:
        """A copy."""
        return {
            "num_windows": self._num_windows,
            "num_negative": self._num_negative,
            "worst": self._worst,
            "sums": [self._sum_served, self._sum_frozen],
            "pair": self._pair.state(),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "num_windows": int(num_windows),
                "num_negative": int(num_negative),
                "worst": float(worst),
                "sums": [float(sum_served), float(sum_frozen)],
                "pair": dict(pair),
            }:
                self._num_windows, self._num_negative, self._worst = num_windows, num_negative, worst
                self._sum_served, self._sum_frozen = sum_served, sum_frozen
                self._pair.load_state(pair)
            case _:
                raise ValueError(f"not the state of harmed windows: it has the keys {sorted(state)}")
