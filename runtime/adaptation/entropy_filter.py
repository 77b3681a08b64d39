"""The entropy filter: which pixels are sure enough to learn from, and how much each counts.

    filter = EntropyFilter.of_classes(19)                        # 0.4 ln 19 nats
    entropy_BHW = pixel_entropy(logits_BKHW)
    loss = masked_mean(filter.weights(entropy_BHW) * entropy_BHW, filter.is_reliable(entropy_BHW))

EATA (Niu et al., ICML 2022, arXiv 2204.02610, equation 3) and SAR (Niu et al., ICLR 2023, arXiv 2302.12400, equation 2)
drop whole images above the margin, as gradients of unsure answers are large and point anywhere. In dense prediction a
pixel is what an image is there: a frame is always sure of some of its pixels and unsure of others.

`SureEntropy` is that as a term any method can be joined with (`components.py`): EATA's loss but for the filter of what
was learnt before and the anchor (`--with fisher`). It makes sure answers surer, right or wrong: the method beside it
has to hold them to what is right, or an anchor. Needs no labels: source-free.
"""

# B batch, H height, W width (of images; a quarter of it for entropies)

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.losses import pixel_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from replay.augment import crop_of_share
from runtime.adaptation.method import Materials, Target

MARGIN_SHARE = 0.4  # of the greatest entropy there can be


@dataclass(frozen=True, slots=True)
class EntropyFilter:
    """`margin` in nats: answers below it are reliable."""

    margin: float

    @classmethod
    def of_classes(cls, num_classes: int, *, share: float = MARGIN_SHARE) -> "EntropyFilter":
        """The margin at a share of the entropy of a guess among so many classes."""
        return cls(share * math.log(num_classes))

    def is_reliable(self, entropy_BHW: Tensor) -> Tensor:
        """Where answers are sure, bool (B, H, W)."""
        return entropy_BHW < self.margin

    def weights(self, entropy_BHW: Tensor) -> Tensor:
        """exp(margin - entropy) without gradient: 1 at the margin, the surer the more."""
        return torch.exp(self.margin - entropy_BHW.detach())


def masked_mean(values_BHW: Tensor, mask_BHW: Tensor) -> Tensor:
    """Mean over the pixels of a bool mask; 0 with a gradient of 0 where it holds none."""
    return torch.where(mask_BHW, values_BHW, 0.0).sum() / mask_BHW.sum().clamp(min=1)


class SureEntropy:
    """A term; `weight` multiplies its loss. Batch norms normalise as they serve."""

    def __init__(self, given: Materials, *, weight: float = 1.0) -> None:
        self._filter = EntropyFilter.of_classes(given.frozen.num_classes)
        self._device = given.device
        self._generator = given.generator
        self._weight = weight

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """Mean entropy of the frame's reliable pixels in nats, the surer the more; None where no pixel is."""
        image_HWC, _ = crop_of_share(
            to_tensor(target.image_HWC), to_tensor(target.labels_HW), target.crop_share, generator=self._generator
        )
        entropy_BHW = pixel_entropy(student(normalise(image_HWC[None].to(self._device))))
        reliable_BHW = self._filter.is_reliable(entropy_BHW.detach())
        if not bool(reliable_BHW.any()):
            return None
        return self._weight * masked_mean(self._filter.weights(entropy_BHW) * entropy_BHW, reliable_BHW)
