"""TENT: the entropy of the model's own answers is minimised, in the affine parameters of its norms.

Wang et al., ICLR 2021, arXiv 2006.10726, section 3: one step a frame on the mean entropy over pixels, batch norms
normalising by the statistics of the frame at hand. The version that step makes serves the frames after it, with the
statistics of the frame it was made from.

Settings: Adam, betas 0.9 and 0.999, rate 6e-5 / 8, as TENT is run for SegFormer at batch 1 in the code that accompanies
work on Cityscapes to ACDC (CoTTA, SVDP). That code keeps the source's statistics in the head's batch norm and descends
the cross-entropy with the model's own hard labels; here both are as in the paper. For networks with batch norms in the
encoder the paper's own rate is 1e-3.
"""

# B batch, C channels, H height, W width, K classes

import torch
from torch import Tensor

from models.losses import soft_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from runtime.adaptation.batch_statistics import own_statistics
from runtime.adaptation.method import Method, Target


class Tent(Method):
    """Remembers nothing."""

    def __init__(self, *, device: torch.device) -> None:
        self._device = device

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Mean entropy over all pixels, in nats."""
        with own_statistics(student):
            logits_BKHW = student(normalise(to_tensor(target.image_HWC)[None].to(self._device)))
        return soft_entropy(logits_BKHW)
