"""A model's answer averaged over views of one image: several scales, each as it is and mirrored.

answers = look(teacher, x_B3HW, scales=(0.5, 1.0, 2.0))     # six forward passes, ten times the pixels of one

Views are resized as images, answered, brought to the size of the plain view's logits and mirrored back; their
probabilities are averaged (the multi-scale test of semantic segmentation, as mmseg does it and CoTTA uses it).
"""

# B batch, K classes, H height, W width (of images), h w (of logits at scale 1)

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_SIDE = 32  # the encoder's first stage reduces 32 pixels to one
PUBLISHED_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Probabilities (B, K, h, w): of the plain view alone, and the mean of all."""

    plain_BKhw: Tensor
    mean_BKhw: Tensor


def look(model: nn.Module, x_B3HW: Tensor, *, scales: Sequence[float] = PUBLISHED_SCALES) -> Answers:
    """Two views for each scale, without gradients. ValueError unless 1 is among the scales."""
    if 1.0 not in scales:
        raise ValueError(f"scales must hold 1, the plain view, got {tuple(scales)}")
    with torch.no_grad():
        plain_BKhw = model(x_B3HW).softmax(dim=1)
        total_BKhw = torch.zeros_like(plain_BKhw)
        for scale in scales:
            view_B3HW = _resized(x_B3HW, scale)
            size_hw = (plain_BKhw.shape[2], plain_BKhw.shape[3])
            total_BKhw += plain_BKhw if scale == 1.0 else _probabilities(model, view_B3HW, size_hw)
            total_BKhw += _probabilities(model, view_B3HW.flip(3), size_hw).flip(3)
        return Answers(plain_BKhw, total_BKhw / (2 * len(scales)))


def _resized(x_B3HW: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return x_B3HW
    size_HW = [max(LEAST_SIDE, round(side * scale)) for side in x_B3HW.shape[2:]]
    view_B3HW = F.interpolate(x_B3HW, size=size_HW, mode="bilinear", align_corners=False)
    return view_B3HW.contiguous(memory_format=torch.channels_last)


def _probabilities(model: nn.Module, x_B3HW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    logits_BKhw = F.interpolate(model(x_B3HW), size=size_hw, mode="bilinear", align_corners=False)
    return logits_BKhw.softmax(dim=1)
