"""Percentiles of any number of samples in bounded memory: DDSketch (Masson, Rim, Lee: "DDSketch: a fast and
fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12(12), 2019).

    sketch = QuantileSketch()
    sketch.add(41.7)
    sketch.quantile(0.99)

Samples are counted in buckets that grow by a fixed factor, so every percentile is within half a percent of the one
over all samples, however many there were and however they are spread. Count, sum and greatest sample are exact.
"""

import math

import numpy as np
import torch
from torch import Tensor

from runtime.state import State

RELATIVE_ERROR = 0.005
SMALLEST, LARGEST = 1e-3, 1e8  # in milliseconds a microsecond and a day: what lies outside counts as the nearer end
GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_SCALE = 1.0 / math.log(GROWTH)
_NUM_BUCKETS = math.ceil(math.log(LARGEST / SMALLEST) * _SCALE) + 1


class QuantileSketch:
    """Samples of one kind of positive reading, 20 KB whatever their number. Not thread-safe."""

    def __init__(self) -> None:
        self._counts = np.zeros(_NUM_BUCKETS, dtype=np.int64)
        self._num = 0
        self._sum = 0.0
        self._max = 0.0

    def __len__(self) -> int:
        return self._num

    @property
    def sum(self) -> float:
        return self._sum

    @property
    def max(self) -> float | None:
        """The greatest sample, exactly; None of none."""
        return self._max if self._num else None

    def add(self, sample: float) -> None:
        """Count one finite sample; what is not above SMALLEST counts as that."""
        self._num += 1
        self._sum += sample
        self._max = max(self._max, sample)
        # Bucket i holds SMALLEST * (GROWTH^(i-1), GROWTH^i], section 2.1 of the paper.
        held = min(max(sample, SMALLEST), LARGEST)
        self._counts[math.ceil(math.log(held / SMALLEST) * _SCALE)] += 1

    def quantile(self, share: float) -> float | None:
        """The quantile at `share` in [0, 1], between ranks as numpy does by default; None of none."""
        if not self._num:
            return None
        rank = share * (self._num - 1)
        below, above = math.floor(rank), math.ceil(rank)
        ranks = np.searchsorted(np.cumsum(self._counts), (below, above), side="right")
        low, high = (self._middle(int(bucket)) for bucket in ranks)
        return low + (high - low) * (rank - below)

    def state(self) -> State:
        """A copy: the buckets that hold anything, and the exact figures."""
        filled = np.flatnonzero(self._counts)
        return {
            "buckets": torch.from_numpy(filled),
            "counts": torch.from_numpy(self._counts[filled]),
            "sum": self._sum,
            "max": self._max,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "buckets": Tensor() as buckets,
                "counts": Tensor() as counts,
                "sum": float(total),
                "max": float(greatest),
            }:
                self._counts[:] = 0
                self._counts[buckets.numpy()] = counts.numpy()
                self._num = int(self._counts.sum())
                self._sum, self._max = total, greatest
            case _:
                raise ValueError(f"not the state of a quantile sketch: it has the keys {sorted(state)}")

    def _middle(self, bucket: int) -> float:
        """What the samples of a bucket count as, equally far from both of its ends; never above the greatest."""
        return min(SMALLEST * GROWTH**bucket * 2 / (GROWTH + 1), self._max)
