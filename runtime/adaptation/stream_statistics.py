"""The stream's own statistics in the batch norms of what serves, in weather far from the source.

    statistics.look(features_F)                                    # every usable frame: how far away is it?
    if statistics.is_due(frame_index):
        statistics.take(frame, features_F, tensors, period=1)      # a forward pass
    published = statistics.laid_over(tensors)                      # `tensors` themselves where it is not far

Learnt weights take some frames to come; what a batch norm subtracts and divides by is read off one. At night the one
in SegFormer's head is worth three points over a visit of 75 frames, beside what is learnt there
(`benchmarks/results/stream_statistics.md`). Near the source it costs: there a lorry that fills the picture moves these
statistics as far as night does. So looks alone decide how far away the weather is. Statistics between the source's and
the target's are those of Schneider et al. 2020, arXiv 2006.16971; here they are the target's where the weather is far.

Weights that are judged, kept or learnt from never hold these statistics: only versions that serve do.
"""

# C channels, F features

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import load_adaptable
from runtime.adaptation.batch_statistics import norms_watched
from runtime.shift.calibration import SourceAppearance
from runtime.state import State, array_again, kept, kept_array
from streams.frame import Frame

FROM, FULL = 2.0, 2.4  # a frame's distance from the source, whose edge is 1; from 1.7 on dusk lost 0.1 points more
FIRST_TAKES = 8  # one after the other, while what serves changes quickly
TAKE_PERIOD = 8  # frames between takes from then on


class StreamStatistics:
    """Owned by the learner's thread. `twin` is a replica of its own, `weights` what it holds between takes; `source` is
    what source samples look like.
    """

    def __init__(self, twin: SegmentationModel, weights: Mapping[str, Tensor], source: SourceAppearance) -> None:
        load_adaptable(twin, weights)  # the same memory
        self._twin = twin
        self._weights = weights
        self._source = source
        self.leave()

    @property
    def share(self) -> float:
        """How far batch norms go from their own statistics to the stream's, in [0, 1]; 0 near the source."""
        return self._share

    @property
    def appearance_F(self) -> np.ndarray | None:
        """What the frame looks like that statistics were taken from."""
        return self._appearance_F

    def leave(self) -> None:
        """Nothing is far, and nothing taken."""
        self._share = 0.0
        self._taken: Mapping[str, Tensor] = {}
        self._appearance_F: np.ndarray | None = None
        self._num_takes = 0
        self._due_frame = -1

    def look(self, features_F: np.ndarray) -> None:
        """A frame of these features is the newest."""
        distance = self._source.distance(features_F) / self._source.threshold
        share = min(1.0, max(0.0, (distance - FROM) / (FULL - FROM)))
        if share == 0.0:
            self.leave()
        self._share = share

    def is_due(self, frame_index: int) -> bool:
        """Whether they are to be taken from the newest frame."""
        return self._share > 0.0 and frame_index >= self._due_frame

    def take(self, frame: Frame, features_F: np.ndarray, tensors: Mapping[str, Tensor], *, period: int) -> None:
        """Take them from a frame as it passes a model with these adaptable tensors. Of `period` times as many frames
        as usual the next are taken.
        """
        taken: dict[str, Tensor] = {}

        def note(name: str, _: nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
            taken[f"{name}.running_mean"], taken[f"{name}.running_var"] = mean_C, variance_C

        load_adaptable(self._twin, tensors)
        device = next(self._twin.parameters()).device
        with torch.no_grad(), norms_watched(self._twin, note):
            self._twin(normalise(to_tensor(frame.image_HWC)[None].to(device)))
        load_adaptable(self._twin, self._weights)  # lest these be held until the next take
        self._taken, self._appearance_F = MappingProxyType(taken), features_F
        self._num_takes += 1
        self._due_frame = frame.index + period * (1 if self._num_takes < FIRST_TAKES else TAKE_PERIOD)

    def laid_over(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The same weights under the stream's statistics, as far as `share` goes."""
        if not self._taken:
            return tensors
        statistics = {name: tensors[name].lerp(taken, self._share) for name, taken in self._taken.items()}
        return {**tensors, **statistics}

    def state(self) -> State:
        """What was taken, and when the next is due."""
        return {
            "share": self._share,
            "taken": {name: kept(tensor) for name, tensor in self._taken.items()},
            "appearance": kept_array(self._appearance_F),
            "num_takes": self._num_takes,
            "due_frame": self._due_frame,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "share": float(share),
                "taken": dict(taken),
                "appearance": Tensor() | None as appearance_F,
                "num_takes": int(num_takes),
                "due_frame": int(due_frame),
            }:
                device = next(self._twin.parameters()).device
                self._share, self._num_takes, self._due_frame = share, num_takes, due_frame
                self._taken = {name: cast(Tensor, tensor).to(device) for name, tensor in taken.items()}
                self._appearance_F = array_again(appearance_F)
            case _:
                raise ValueError(f"not the state of stream statistics: it has the keys {sorted(state)}")
