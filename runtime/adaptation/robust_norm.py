"""Robust batch norm: statistics that follow the batches of a stream slowly, and normalise each by what they are then.

    features = model.encoder(x_B3HW)
    statistics = NormStatistics.of(model.head).towards(model.head, features, share=0.05)
    logits_BKhw = answer(model.head, features, statistics)

Yuan et al. 2023 (RoTTA, arXiv 2303.13899, "robust batch normalization"): statistics are an exponential average that
starts at the source's; a plain batch norm in training normalises by the batch alone. Nothing is written to the model.
"""

# B batch, C channels of a stage, E embedding channels, K classes, h w height and width of logits

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.func import functional_call

from models.head import Head
from models.segformer import segformer_head


@dataclass(frozen=True, slots=True, eq=False)
class NormStatistics:
    """Mean and variance (E,) of the head's batch norm."""

    mean_E: Tensor
    var_E: Tensor

    @classmethod
    def of(cls, head: Head) -> "NormStatistics":
        """The head's running statistics, its own memory; CheckpointInvalid where it is not SegFormer's."""
        norm = segformer_head(head, needed_by="robust batch norm").bn
        assert norm.running_mean is not None and norm.running_var is not None
        return cls(norm.running_mean, norm.running_var)

    def detached(self) -> "NormStatistics":
        """Copies without a graph."""
        return NormStatistics(self.mean_E.detach().clone(), self.var_E.detach().clone())

    def towards(self, head: Head, features: Sequence[Tensor], *, share: float) -> "NormStatistics":
        """Moved a share of the way to those of this batch, given as the encoder's feature maps (B, C_i, H_i, W_i).

        Differentiable in the batch's part, as in the authors' code.
        """
        mean_E, var_E = segformer_head(head, needed_by="robust batch norm").moments(features)
        return NormStatistics(self.mean_E.lerp(mean_E, share), self.var_E.lerp(var_E, share))


def answer(head: Head, features: Sequence[Tensor], statistics: NormStatistics) -> Tensor:
    """Logits (B, K, h, w) of the head on these statistics instead of its own."""
    buffers = {"bn.running_mean": statistics.mean_E, "bn.running_var": statistics.var_E}
    logits_BKhw: Tensor = functional_call(head, buffers, (features,))
    return logits_BKhw
