"""Whether the model is as often right as it is sure: expected calibration error, adapted and frozen on equal frames.

ECE (Naeini et al. 2015; Guo et al. 2017, "On calibration of modern neural networks", equation 3): answers are sorted
into NUM_BINS bins of equal width by their top-1 probability, and the gaps between a bin's mean probability and its
share of right answers are averaged, each weighted by how many answers it holds.

Only frames that both models answered count. A model's probabilities are those of its logits, a quarter of the image's
size: each is compared with the answer and the label of the pixel at its centre.
"""

# H height, W width (h w of the logits), B bins

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from runtime.events import ShadowPrediction
from runtime.observer import Event
from runtime.state import State
from streams.frame import IGNORE_LABEL

NUM_BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """By bin: how many pixels, their mean top-1 probability, the share of them that was right (nan in empty bins)."""

    num_B: np.ndarray
    confidence_B: np.ndarray
    accuracy_B: np.ndarray

    @property
    def ece(self) -> float:
        """In [0, 1]; nan of no pixels."""
        if not self.num_B.any():
            return math.nan
        gaps_B = np.abs(self.accuracy_B - self.confidence_B)
        return float(np.nansum(gaps_B * self.num_B) / self.num_B.sum())


class Bins:
    """Pixels by confidence: their number, the sum of their probabilities, how many were right."""

    def __init__(self) -> None:
        self._sums_3B = np.zeros((3, NUM_BINS))

    def add(self, confidence_hw: np.ndarray, is_right_hw: np.ndarray) -> None:
        """Two arrays of one shape; confidence in [0, 1], a bin holds its upper end (the lowest also 0)."""
        bins = np.clip(np.ceil(confidence_hw * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1).ravel()
        for row, weights in enumerate((None, confidence_hw.ravel(), is_right_hw.ravel())):
            self._sums_3B[row] += np.bincount(bins, weights=weights, minlength=NUM_BINS)

    def reliability(self) -> Reliability:
        """So far."""
        num_B, confidence_B, right_B = self._sums_3B
        with np.errstate(invalid="ignore", divide="ignore"):
            return Reliability(num_B.copy(), confidence_B / num_B, right_B / num_B)

    def state(self) -> State:
        """A copy."""
        return {"sums_3B": torch.from_numpy(self._sums_3B.copy())}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"sums_3B": Tensor() as sums_3B} if tuple(sums_3B.shape) == self._sums_3B.shape:
                self._sums_3B = sums_3B.numpy().copy()
            case _:
                raise ValueError(f"not the state of {NUM_BINS} bins of confidence: it has the keys {sorted(state)}")


class Calibration:
    """Observer."""

    def __init__(self) -> None:
        self.served = Bins()
        self.frozen = Bins()

    def observe(self, event: Event) -> None:
        match event:
            case ShadowPrediction(
                confidence_hw=np.ndarray() as frozen_hw, served_confidence_hw=np.ndarray() as served_hw
            ) if event.frame.label_HW is not None:
                self._add(self.served, served_hw, event.served_labels_HW, event.frame.label_HW)
                self._add(self.frozen, frozen_hw, event.labels_HW, event.frame.label_HW)

    def state(self) -> State:
        """A copy."""
        return {"served": self.served.state(), "frozen": self.frozen.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        self.served.load_state(cast(State, state["served"]))
        self.frozen.load_state(cast(State, state["frozen"]))

    def _add(self, bins: Bins, confidence_hw: np.ndarray, labels_HW: np.ndarray, label_HW: np.ndarray) -> None:
        centres = np.ix_(
            *(
                ((np.arange(num) + 0.5) * size / num).astype(np.int64)
                for num, size in zip(confidence_hw.shape, label_HW.shape, strict=True)
            )
        )
        truth_hw = label_HW[centres]
        is_labelled_hw = truth_hw != IGNORE_LABEL
        bins.add(confidence_hw[is_labelled_hw], (labels_HW[centres] == truth_hw)[is_labelled_hw])
