"""Statistics mixing: batch norms take on the statistics of the stream; no gradient, nothing else learns.

The target's statistics are an exponential average over frames, begun at the source's, and a batch norm normalises by

    mu = (1 - a) mu_source + a mu_target,        the same for the variance.

With a = 1 and momentum 0.1 that is torch's own running average in training mode (EMA-BN; norm_ema where test-time
methods are compared). With momentum 1 and a = 0.1 it is alpha-BN (You et al. 2021, arXiv 2110.04065; Schneider et al.
2020, arXiv 2006.16971, has a = n / (N + n)). The default is the former: it is at the target's statistics after some
twenty frames and takes no single frame's word for them.

A frame has as many samples per channel as it has pixels, so batches of one are no worry here. SegFormer's only batch
norm is in the head; its encoder has layer norms, which always use the statistics of the input. The version made from
a frame serves those after it; the published methods normalise the frame itself by what it changed.
"""

# B batch, C channels, H height, W width, K classes

import torch
from torch import Tensor, nn

from models.losses import soft_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from runtime.adaptation.batch_statistics import moving_norms, norms_watched
from runtime.adaptation.method import Method, Target
from runtime.option_words import ConfigError
from runtime.state import State, kept


class StatisticsMixing(Method):
    """Keeps the target's mean and variance of every batch norm.

    `momentum` in (0, 1] is a frame's share in them, `target_share` in (0, 1] their share in what a norm normalises by.
    ConfigError for a model none of whose batch norms may move.
    """

    def __init__(self, frozen: SegmentationModel, *, momentum: float = 0.1, target_share: float = 1.0) -> None:
        norms = moving_norms(frozen)
        if not norms:
            raise ConfigError("--method bn: the model has no batch norm that may move; --trainable norm lets them")
        if not (0.0 < momentum <= 1.0 and 0.0 < target_share <= 1.0):
            raise ValueError(f"momentum and target_share must be in (0, 1], got {momentum} and {target_share}")
        self._source = {name: _statistics(norm) for name, norm in norms.items()}
        self._target = {name: (mean_C.clone(), var_C.clone()) for name, (mean_C, var_C) in self._source.items()}
        self._momentum = momentum
        self._target_share = target_share

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Mean entropy in nats of the answer under the statistics just mixed; there is nothing to descend."""
        device = next(student.parameters()).device
        with torch.no_grad(), norms_watched(student, self._move):
            return soft_entropy(student(normalise(to_tensor(target.image_HWC)[None].to(device))))

    def state(self) -> State:
        """The target's statistics."""
        return {
            name: {"mean": kept(mean_C), "variance": kept(var_C)}
            for name, (mean_C, var_C) in self._target.items()
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        for name, (mean_C, var_C) in self._target.items():
            match state.get(name):
                case {"mean": Tensor() as mean, "variance": Tensor() as variance}:
                    mean_C.copy_(mean)
                    var_C.copy_(variance)
                case _:
                    raise ValueError(f"not the state of statistics mixing: nothing for the batch norm {name}")

    def _move(self, name: str, norm: nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
        """Average the frame in, and have the norm normalise by the mixture."""
        for average_C, seen_C in zip(self._target[name], (mean_C, variance_C), strict=True):
            average_C.lerp_(seen_C, self._momentum)
        for running_C, source_C, average_C in zip(
            _statistics(norm), self._source[name], self._target[name], strict=True
        ):
            running_C.copy_(torch.lerp(source_C, average_C, self._target_share))


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The running mean and variance, live."""
    assert norm.running_mean is not None and norm.running_var is not None  # adaptable, hence there
    return norm.running_mean, norm.running_var
