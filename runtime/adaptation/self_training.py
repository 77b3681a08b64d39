"""Self-training by class mixing, the step that DACS, DAFormer and HAMLET have in common.

    losses = training.losses(student, target)
    torch.autograd.backward(losses.total)

One source sample (rare classes first) and the target frame are cut to square crops and mirrored; the mean teacher,
which has followed the student, answers the target crop; some classes of the source are pasted onto it
(`replay.mixing`), and the mixture is jittered and blurred. Source and mixture go through the student one after the
other in training mode, so that batch norms see one domain at a time.

Tranheden et al. 2021 (DACS), arXiv 2007.08702, section 3; Hoyer et al. 2022 (DAFormer), arXiv 2111.14887, section 3.
Published crops are 512x512 of 1024x512 frames: full height, half the width. Losses are taken at stride 4
(`models.losses`) unless asked for at full size.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

from dataclasses import dataclass

import torch
from torch import Tensor

from models.encoder import of_whole_images
from models.feature_distance import feature_distance, thing_cells
from models.losses import cross_entropy, shrink_labels, weighted_cross_entropy
from models.preprocess import certainty, labels_of, normalise, to_tensor, upsample_logits
from models.segformer import SegmentationModel
from replay.augment import (
    CropRule,
    Wanted,
    photometric_distortion,
    random_crop,
    random_flip,
    share_of,
    strong_augmentation,
)
from replay.mixing import Batch, classmix
from replay.sampling import CROP_SHARE, min_pixels_at
from runtime.adaptation.mean_teacher import MeanTeacher
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.training_mode import in_training_mode

CONFIDENT = 2  # column of `certainty`: share of pixels at least 0.968 sure


@dataclass(frozen=True, slots=True)
class MixRule:
    """How a step differs between methods.

    `distortion` in [0, 1] is the strength of the colour changes crops begin with. `margins` are the shares of rows at
    the top and at the bottom of a crop whose pseudo-labels do not count. `feature_weight` is that of the distance to
    the frozen encoder's features of things; at 0 it is not computed. `is_released`: losses at full size, and the source
    loss divided by all pixels, ignored ones included, as in the authors' code. `is_whole`: nothing is cropped.
    """

    distortion: float = 0.0
    margins: tuple[float, float] = (0.0, 0.0)
    feature_weight: float = 0.0
    is_released: bool = False
    is_whole: bool = False

    def __post_init__(self) -> None:
        if min(self.margins) < 0 or sum(self.margins) >= 1:
            raise ValueError(f"mix.margins must be shares that leave some rows, got {self.margins}")


@dataclass(frozen=True, slots=True, eq=False)
class MixLosses:
    """The terms of one step, each weighted as it counts."""

    source: Tensor
    features: Tensor
    mixed: Tensor

    @property
    def total(self) -> Tensor:
        return self.source + self.features + self.mixed


class SelfTraining:
    """Belongs to a method, as the teacher does; draws from the replay and from the method's generator."""

    def __init__(self, given: Materials, teacher: MeanTeacher, *, rule: MixRule) -> None:
        self._replay = given.replay
        self._frozen = given.frozen
        self._device = given.device
        self._generator = given.generator
        self._teacher = teacher
        self._rule = rule

    def losses(self, student: SegmentationModel, target: Target, *, ratio: float = 0.5) -> MixLosses:
        """Of one step; `ratio` of the source's classes are pasted. The teacher follows the student first."""
        self._teacher.follow(student)
        height, width = target.labels_HW.shape
        size_HW = share_of((height, width if self._rule.is_whole else min(height, width)), target.crop_share)
        source = Batch.of_source(*self._source_crop(size_HW))
        seen = self._labelled(self._target_crop(target, size_HW))
        mixed = classmix(source, seen, ratio=ratio, generator=self._generator)
        mixed_BHWC = strong_augmentation(mixed.images_BHWC, generator=self._generator)
        x_B3HW = normalise(source.images_BHWC.to(self._device))
        with in_training_mode(student, self._generator):
            features = student.encoder(x_B3HW)
            on_source = self._source_loss(student.head(features), source.labels_BHW)
            deepest_BCHW = of_whole_images(features[-1], x_B3HW.shape[0])
            on_features = self._feature_loss(deepest_BCHW, x_B3HW, source.labels_BHW, num_classes=student.num_classes)
            on_mixed = self._mixed_loss(student(normalise(mixed_BHWC.to(self._device))), mixed)
        return MixLosses(on_source, on_features, on_mixed)

    def _source_crop(self, size_HW: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A view of a drawn sample that shows something of the class it was drawn for: (1, H, W, 3) and (1, H, W)."""
        draw = self._replay.draw_one()
        images_BHWC, labels_BHW = self._replay.gather(torch.tensor([draw.index]))
        wanted = None
        if draw.wanted_class is not None:
            num_pixels = max(1, round(CROP_SHARE * min_pixels_at(self._replay.size_HW)))
            wanted = Wanted(draw.wanted_class, num_pixels)
        return self._view(images_BHWC[0], labels_BHW[0], size_HW, wanted)

    def _target_crop(self, target: Target, size_HW: tuple[int, int]) -> Tensor:
        """The served labels only say how varied a crop is."""
        image_BHWC, _ = self._view(to_tensor(target.image_HWC), to_tensor(target.labels_HW), size_HW, None)
        return image_BHWC

    def _view(
        self, image_HWC: Tensor, label_HW: Tensor, size_HW: tuple[int, int], wanted: Wanted | None
    ) -> tuple[Tensor, Tensor]:
        rule = CropRule(size_HW, scale_range=(1.0, 1.0))
        image_HWC, label_HW = random_crop(image_HWC, label_HW, rule=rule, generator=self._generator, wanted=wanted)
        image_HWC, label_HW = random_flip(image_HWC, label_HW, generator=self._generator)
        image_HWC = photometric_distortion(image_HWC, strength=self._rule.distortion, generator=self._generator)
        return image_HWC[None], label_HW[None]

    def _labelled(self, image_BHWC: Tensor) -> Batch:
        """The crop with the teacher's labels; one weight for all pixels, the share of sure ones, but for margins."""
        logits_BKHW = self._teacher.answer(normalise(image_BHWC.to(self._device)))
        height, width = image_BHWC.shape[1:3]
        labels_BHW = labels_of(logits_BKHW, (height, width)).cpu()
        weights_BHW = torch.full(labels_BHW.shape, float(certainty(logits_BKHW)[0, CONFIDENT]))
        top, bottom = (round(share * height) for share in self._rule.margins)
        weights_BHW[:, :top] = 0.0
        weights_BHW[:, height - bottom :] = 0.0
        return Batch(image_BHWC, labels_BHW, weights_BHW)

    def _source_loss(self, logits_BKHW: Tensor, labels_BHW: Tensor) -> Tensor:
        logits_BKHW, (labels_BHW,) = self._met(logits_BKHW, labels_BHW)
        if self._rule.is_released:
            return weighted_cross_entropy(logits_BKHW, labels_BHW, torch.ones_like(labels_BHW, dtype=torch.float32))
        return cross_entropy(logits_BKHW, labels_BHW)

    def _mixed_loss(self, logits_BKHW: Tensor, mixed: Batch) -> Tensor:
        logits_BKHW, (labels_BHW, weights_BHW) = self._met(logits_BKHW, mixed.labels_BHW, mixed.weights_BHW)
        return weighted_cross_entropy(logits_BKHW, labels_BHW, weights_BHW)

    def _feature_loss(self, features_BCHW: Tensor, x_B3HW: Tensor, labels_BHW: Tensor, *, num_classes: int) -> Tensor:
        if self._rule.feature_weight == 0.0:
            return features_BCHW.new_zeros(())
        with torch.no_grad():
            fixed_BCHW = of_whole_images(self._frozen.encoder(x_B3HW)[-1], x_B3HW.shape[0])
        height, width = features_BCHW.shape[-2:]
        cells_BHW = thing_cells(labels_BHW, (height, width), num_classes=num_classes).to(self._device)
        return self._rule.feature_weight * feature_distance(features_BCHW, fixed_BCHW, cells_BHW)

    def _met(self, logits_BKHW: Tensor, *maps_BHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and maps of labels or weights at one size, on the device."""
        if self._rule.is_released:
            height, width = maps_BHW[0].shape[-2:]
            return upsample_logits(logits_BKHW, (height, width)), [map_BHW.to(self._device) for map_BHW in maps_BHW]
        size_HW = logits_BKHW.shape[-2:]
        return logits_BKHW, [shrink_labels(map_BHW, size_HW).to(self._device) for map_BHW in maps_BHW]
