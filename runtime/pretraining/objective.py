"""What supervised training makes small: cross-entropy, at the size and with the divisor that were asked for."""

# B batch, K classes, h w the logits' height and width, H W the labels'

from dataclasses import dataclass

from torch import Tensor

from models.losses import cross_entropy, shrink_labels
from models.preprocess import upsample_logits
from runtime.pretraining.config import Norm


@dataclass(frozen=True, slots=True)
class Objective:
    """Cross-entropy divided as `models.losses.cross_entropy` says for `norm`.

    `is_full_size` brings logits to the labels' size, as published training does. Otherwise labels go to the logits':
    full-size logits cost a third more time on a CPU and gave nothing.
    """

    norm: Norm = "valid"
    is_full_size: bool = False
    class_weights: tuple[float, ...] | None = None

    def __call__(self, logits_BKhw: Tensor, labels_BHW: Tensor) -> Tensor:
        """A scalar; logits in float32."""
        weights_K = None if self.class_weights is None else logits_BKhw.new_tensor(self.class_weights)
        if self.is_full_size:
            logits_BKhw = upsample_logits(logits_BKhw, (labels_BHW.shape[1], labels_BHW.shape[2]))
        else:
            labels_BHW = shrink_labels(labels_BHW, logits_BKhw.shape[-2:])
        return cross_entropy(logits_BKhw, labels_BHW, class_weights_K=weights_K, norm=self.norm)


AT_STRIDE = Objective()
