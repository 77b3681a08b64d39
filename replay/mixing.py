"""ClassMix: classes of a labelled source sample pasted onto a pseudo-labelled target frame.

Rules of DACS (Tranheden et al., WACV 2021) as HAMLET runs them (ICCV 2023), with two defects of the originals left out:
classes are listed for each image by itself rather than for the whole batch, and the ignore label is not a class that
can be pasted.
"""

# B batch, H height, W width, C channels (RGB)

from dataclasses import dataclass

import torch
from torch import Tensor

from streams.frame import IGNORE_LABEL


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one learning step is fed: images, labels (uint8 train ids, 255 ignored) and a weight >= 0 for every
    pixel.
    """

    images_BHWC: Tensor
    labels_BHW: Tensor
    weights_BHW: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.labels_BHW.shape)
        if tuple(self.images_BHWC.shape) != (*shape, 3) or tuple(self.weights_BHW.shape) != shape:
            raise ValueError(
                f"batch shapes differ: images {tuple(self.images_BHWC.shape)}, labels {shape}, "
                f"weights {tuple(self.weights_BHW.shape)}; expected (B, H, W, 3), (B, H, W), (B, H, W)"
            )

    @classmethod
    def of_source(cls, images_BHWC: Tensor, labels_BHW: Tensor) -> "Batch":
        """True labels: every pixel weighs 1 (ignored ones are the loss's business)."""
        weights_BHW = torch.ones(labels_BHW.shape, dtype=torch.float32, device=labels_BHW.device)
        return cls(images_BHWC, labels_BHW, weights_BHW)


def num_mixed_classes(num_present: int, ratio: float) -> int:
    """min(int((N + N mod 2) * r), N): with r = 0.5 the rounded-up half of the classes present."""
    return min(int((num_present + num_present % 2) * ratio), num_present)


def choose_classes(label_HW: Tensor, *, ratio: float, generator: torch.Generator) -> Tensor:
    """The classes to paste from one image, drawn without replacement among those in it; may be empty."""
    present = torch.unique(label_HW)
    present = present[present != IGNORE_LABEL]
    order = torch.randperm(present.numel(), generator=generator)
    chosen: Tensor = present[order[: num_mixed_classes(present.numel(), ratio)].to(present.device)]
    return chosen


def classmix(source: Batch, target: Batch, *, ratio: float = 0.5, generator: torch.Generator) -> Batch:
    """x = M s + (1 - M) t for images, labels and weights; M are the pixels of the chosen source classes, drawn image by
    image.

    `target` carries pseudo-labels and their weights. Both batches have one shape; `ratio` is in [0, 1].
    """
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"mixing.ratio must be in [0, 1], got {ratio}; 0 pastes nothing")
    if source.labels_BHW.shape != target.labels_BHW.shape:
        raise ValueError(
            f"source and target must have one shape, got {tuple(source.labels_BHW.shape)} "
            f"and {tuple(target.labels_BHW.shape)}"
        )
    mask_BHW = torch.stack(
        [
            torch.isin(label_HW, choose_classes(label_HW, ratio=ratio, generator=generator))
            for label_HW in source.labels_BHW
        ]
    )
    return Batch(
        torch.where(mask_BHW[..., None], source.images_BHWC, target.images_BHWC),
        torch.where(mask_BHW, source.labels_BHW, target.labels_BHW),
        torch.where(mask_BHW, source.weights_BHW, target.weights_BHW),
    )
