"""The feature distance of DAFormer: on source samples, features of things may not stray from those of a fixed encoder.

DAFormer, Hoyer et al. 2022, arXiv 2111.14887, equations 5 to 7 (`models.feature_distance`), weight 0.005. Published
against the encoder as ImageNet left it; by default the fixed one is the source model here, as HAMLET runs it, which
shares its frozen tensors with the student and costs no memory of its own. Any other is made by `make_static`, which is
not called, and so nothing of it is held, unless the term weighs something. Replays labelled source samples.
"""

# B batch, C channels, H height, W width (of images; a 32nd of it for features)

from collections.abc import Callable

import torch
from torch import Tensor

from models.encoder import of_whole_images
from models.feature_distance import feature_distance, thing_cells
from models.preprocess import normalise
from models.segformer import SegmentationModel
from replay.augment import crop_of_share
from runtime.adaptation.method import Materials, Target


class ThingDistance:
    """A term; `weight` multiplies its loss. At weight 0 it has no static teacher and gives no loss."""

    def __init__(
        self,
        given: Materials,
        *,
        weight: float = 0.005,
        make_static: Callable[[], SegmentationModel] | None = None,
    ) -> None:
        self._replay = given.replay
        self._device = given.device
        self._generator = given.generator
        self._weight = weight
        self._static: SegmentationModel | None = None
        if weight > 0:
            self._static = given.frozen if make_static is None else make_static()

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """Of one source sample; None where it shows no thing large enough to fill a cell."""
        if self._static is None:
            return None
        images_BHWC, labels_BHW = self._replay.sample(1)
        image_HWC, label_HW = crop_of_share(
            images_BHWC[0], labels_BHW[0], target.crop_share, generator=self._generator
        )
        x_B3HW = normalise(image_HWC[None].to(self._device))
        features_BCHW = of_whole_images(student.encoder(x_B3HW)[-1], 1)
        size_HW = (features_BCHW.shape[2], features_BCHW.shape[3])
        cells_BHW = thing_cells(label_HW[None], size_HW, num_classes=student.num_classes).to(self._device)
        if not cells_BHW.any():
            return None
        with torch.no_grad():
            fixed_BCHW = of_whole_images(self._static.encoder(x_B3HW)[-1], 1)
        return self._weight * feature_distance(features_BCHW, fixed_BCHW, cells_BHW)
