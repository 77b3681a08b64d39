"""MIC: the frame with most of it hidden must be told like the whole frame; context has to stand in for what is hidden.

Masked Image Consistency, Hoyer et al., CVPR 2023, arXiv 2212.01322, section 3.2: 70 % of the blocks hidden, each a
sixteenth of the shorter side; strong augmentation of the frame; pseudo-labels of the averaged model, which are the
served ones wherever the average is what serves (`labelling.py`); one weight for the whole frame, the share of pixels at
least 0.968 sure. The released code divides by all pixels and sets the weight of this loss to 1. Needs no labels:
source-free.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

import torch
from torch import Tensor

from models.losses import shrink_labels, weighted_cross_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from replay.augment import crop_of_share, strong_augmentation
from replay.masking import block_mask, block_size
from runtime.adaptation.labelling import Labelling
from runtime.adaptation.method import Materials, Target
from runtime.state import State

HIDDEN_RATIO = 0.7


class MaskedConsistency:
    """A term; `weight` multiplies its loss, `ratio` of the blocks are hidden."""

    def __init__(self, given: Materials, *, weight: float = 1.0, ratio: float = HIDDEN_RATIO) -> None:
        self._device = given.device
        self._generator = given.generator
        self._labelling = Labelling(given)
        self._weight = weight
        self._ratio = ratio

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Cross-entropy of the masked frame against the labels of the whole one, at their confidence."""
        labels_HW, share = self._labelling.served(student, target)
        image_HWC, labels_HW = crop_of_share(
            to_tensor(target.image_HWC), labels_HW, target.crop_share, generator=self._generator
        )
        image_BHWC = strong_augmentation(image_HWC[None], generator=self._generator)
        size_HW = (image_BHWC.shape[1], image_BHWC.shape[2])
        kept_B1HW = block_mask(
            1, size_HW, block=block_size(size_HW), ratio=self._ratio, generator=self._generator
        )
        logits_BKHW = student(normalise(image_BHWC.to(self._device)) * kept_B1HW.to(self._device))
        labels_BHW = shrink_labels(labels_HW[None], logits_BKHW.shape[-2:]).to(self._device)
        weights_BHW = torch.full(labels_BHW.shape, share, device=self._device)
        return self._weight * weighted_cross_entropy(logits_BKHW, labels_BHW, weights_BHW)

    def state(self) -> State:
        """Of the labelling."""
        return self._labelling.state()

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        self._labelling.load_state(state)
