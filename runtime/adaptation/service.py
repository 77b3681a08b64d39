"""What serves: how much of the good weights goes out as the next version, and under which statistics.

Between the source weights and the good ones, as far as these are trusted (`runtime/trust.py`). In weather far from the
source the batch norms of whatever that is take the stream's own statistics (`stream_statistics.py`). Where neither has
anything to say version 0 serves.
"""

# F features

from collections.abc import Mapping
from typing import cast

import numpy as np
from torch import Tensor

from runtime.adaptation.stream_statistics import StreamStatistics
from runtime.state import State, array_again, kept, kept_array, restore, state_of
from runtime.weights import VersionedWeights
from streams.frame import Frame


class Service:
    """Owned by the learner's thread, but for `retire`."""

    def __init__(self, weights: VersionedWeights, statistics: StreamStatistics | None = None) -> None:
        self._weights = weights
        self._statistics = statistics
        self._good: Mapping[str, Tensor] = weights.source.tensors  # never written to: what serves is not held twice
        self._appearance_F: np.ndarray | None = None
        self._share = 0.0  # of the way from the source weights to them, as last published

    @property
    def source(self) -> Mapping[str, Tensor]:
        return self._weights.source.tensors

    @property
    def good(self) -> Mapping[str, Tensor]:
        """The weights accepted last; the source's at first."""
        return self._good

    @property
    def appearance_F(self) -> np.ndarray | None:
        """What the frames look like that the good weights were learnt for, None where unknown."""
        return self._appearance_F

    @property
    def version(self) -> int:
        """The newest, 0 where the source serves."""
        return self._weights.latest.number

    @property
    def share(self) -> float:
        """How much of the good weights serves, in [0, 1]."""
        return self._share

    def accept(
        self, tensors: Mapping[str, Tensor], *, share: float, frame_index: int, appearance_F: np.ndarray | None
    ) -> None:
        """These are the good weights now, learnt for frames that look like this; that share of them serves."""
        self._appearance_F = appearance_F
        if share == 1.0 and not self._is_far:  # publication copies them
            self._share = share
            self._good = self._weights.publish(tensors, frame_index=frame_index, appearance_F=appearance_F).tensors
            return
        self._good = {name: tensor.clone() for name, tensor in tensors.items()}
        self.serve(share, frame_index)

    def serve(self, share: float, frame_index: int) -> None:
        """Go so far from the source weights to the good ones, in [0, 1]."""
        self._share = share
        tensors, looks_F = self._between(), self._appearance_F
        if self._statistics is not None and self._is_far:
            tensors, looks_F = self._statistics.laid_over(tensors), self._statistics.appearance_F
        elif share == 0.0:
            self._weights.fall_back()
            return
        version = self._weights.publish(tensors, frame_index=frame_index, appearance_F=looks_F)
        if tensors is self._good:
            self._good = version.tensors

    def follow(self, frame: Frame, features_F: np.ndarray, *, period: int) -> float:
        """Serve under the stream's statistics as far as the newest frame says. How far, where they were taken from it,
        which costs a forward pass; else 0. `period` is how many times as many frames as usual lie between takes.
        """
        statistics = self._statistics
        if statistics is None:
            return 0.0
        before = statistics.share
        statistics.look(features_F)
        is_due = statistics.is_due(frame.index)
        if is_due:
            statistics.take(frame, features_F, self._between(), period=period)
        if is_due or statistics.share != before:
            self.serve(self._share, frame.index)
        return statistics.share if is_due else 0.0

    def forget_stream(self) -> None:
        """What was taken of the stream is of another weather than that to come."""
        if self._statistics is not None:
            self._statistics.leave()

    def start_over(self) -> None:
        """The source weights are the good ones, and version 0 serves."""
        self._good, self._appearance_F = self.source, None
        self.fall_back()

    def fall_back(self) -> None:
        """Version 0 serves; the good weights stay what they are."""
        self.forget_stream()
        self._share = 0.0
        self._weights.fall_back()

    def retire(self) -> None:
        """Publish nothing any more; the source serves. Any thread."""
        self._weights.retire_writer()

    def state(self) -> State:
        """Copies of the good weights, and how they serve."""
        return {
            "good": {name: kept(tensor) for name, tensor in self._good.items()},
            "appearance": kept_array(self._appearance_F),
            "share": self._share,
            "statistics": state_of(self._statistics),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`; the version that serves is restored by its owner."""
        match state:
            case {
                "good": dict(good),
                "appearance": Tensor() | None as appearance_F,
                "share": float(share),
                "statistics": dict(statistics),
            }:
                self._good = {
                    name: cast(Tensor, good[name]).detach().clone().to(tensor) for name, tensor in self.source.items()
                }
                self._appearance_F, self._share = array_again(appearance_F), share
                restore(self._statistics, statistics)
            case _:
                raise ValueError(f"not the state of a service: it has the keys {sorted(state)}")

    @property
    def _is_far(self) -> bool:
        return self._statistics is not None and self._statistics.share > 0.0

    def _between(self) -> Mapping[str, Tensor]:
        """The weights at that share, under the source's statistics or the learnt ones."""
        if self._share in (0.0, 1.0):
            return self._good if self._share else self.source
        return {name: tensor.lerp(self._good[name], self._share) for name, tensor in self.source.items()}
