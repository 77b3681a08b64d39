"""DACS online: ClassMix of a labelled source sample onto the pseudo-labelled target frame.

Tranheden et al., WACV 2021, with the rules HAMLET runs it by (Botet Colomer et al., ICCV 2023): pseudo-labels of the
averaged (served) model, one weight for the whole frame (share of pixels at least 0.968 sure), half of the source's
classes pasted, colour jitter and blur on the mixed image, cross-entropy averaged over all pixels, plus cross-entropy
on the clean source.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

import torch
from torch import Tensor

from models.losses import cross_entropy, shrink_labels, weighted_cross_entropy
from models.preprocess import normalise
from models.segformer import SegmentationModel
from replay.augment import CropRule, random_crop, share_of, strong_augmentation
from replay.buffer import ReplayBuffer
from replay.mixing import Batch, classmix
from runtime.adaptation.method import Method, Target


class DacsSelfTraining(Method):
    """Owns its replay buffer and generator."""

    def __init__(self, replay: ReplayBuffer, *, device: torch.device, generator: torch.Generator) -> None:
        self._replay = replay
        self._device = device
        self._generator = generator

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Source cross-entropy plus mixed cross-entropy."""
        source = Batch.of_source(*self._cropped(*self._replay.sample(1), target.crop_share))
        image_BHWC, pseudo_BHW = self._cropped(
            torch.as_tensor(target.image_HWC)[None], torch.as_tensor(target.labels_HW)[None], target.crop_share
        )
        weights_BHW = torch.full(pseudo_BHW.shape, target.confident_share, dtype=torch.float32)
        seen = Batch(image_BHWC, pseudo_BHW, weights_BHW)
        mixed = classmix(source, seen, generator=self._generator)
        mixed_BHWC = strong_augmentation(mixed.images_BHWC, generator=self._generator)
        images_BHWC = torch.cat([source.images_BHWC, mixed_BHWC]).to(self._device)
        logits_BKHW = student(normalise(images_BHWC))
        size_HW = logits_BKHW.shape[-2:]
        source_BHW, labels_BHW, weights_BHW = (
            shrink_labels(map_BHW, size_HW).to(self._device)
            for map_BHW in (source.labels_BHW, mixed.labels_BHW, mixed.weights_BHW)
        )
        on_source = cross_entropy(logits_BKHW[:1], source_BHW)
        return on_source + weighted_cross_entropy(logits_BKHW[1:], labels_BHW, weights_BHW)

    def _cropped(self, image_BHWC: Tensor, label_BHW: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """A random crop of one sample, `share` of each side; the published method shows all of it."""
        if share == 1.0:
            return image_BHWC, label_BHW
        rule = CropRule(share_of((label_BHW.shape[1], label_BHW.shape[2]), share), scale_range=(1.0, 1.0))
        image_HWC, label_HW = random_crop(image_BHWC[0], label_BHW[0], rule=rule, generator=self._generator)
        return image_HWC[None], label_HW[None]
