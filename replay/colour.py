"""Colour adjustments of float RGB images in [0, 1], channels last: the bricks of the training augmentations.

Saturation and hue are those of the HSV model, as OpenCV and kornia use it; channels are the last dimension, any leading
ones go.
"""

# C channels (RGB)

import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


def adjust_brightness(image_C: Tensor, offset: float) -> Tensor:
    """Adds `offset`, clipped to [0, 1]."""
    return (image_C + offset).clamp_(0.0, 1.0)


def adjust_contrast(image_C: Tensor, factor: float) -> Tensor:
    """Multiplies by `factor`, clipped to [0, 1] (OpenMMLab's contrast, which is a gain)."""
    return (image_C * factor).clamp_(0.0, 1.0)


def adjust_contrast_about_mean(image_C: Tensor, factor: float) -> Tensor:
    """Scales the distance to the mean luma of the image (H, W, C), as Pillow does."""
    mean = (image_C @ image_C.new_tensor(_LUMA)).mean()
    return (mean + (image_C - mean) * factor).clamp_(0.0, 1.0)


def adjust_saturation(image_C: Tensor, factor: float) -> Tensor:
    """S <- min(factor * S, 1) at constant hue and value: v - (v - c) * min(factor, 1 / S), without a trip through
    HSV.
    """
    value = image_C.amax(dim=-1, keepdim=True)
    chroma = value - image_C.amin(dim=-1, keepdim=True)
    if factor > 1.0:
        scale = (value / chroma.clamp(min=1e-6)).clamp_(max=factor)
        return value - (value - image_C) * scale
    return value - (value - image_C) * factor


def adjust_hue(image_C: Tensor, turns: float) -> Tensor:
    """Rotates the hue by `turns` of the colour circle at constant saturation and value."""
    red, green, blue = image_C.unbind(dim=-1)
    value = image_C.amax(dim=-1)
    chroma = value - image_C.amin(dim=-1)
    safe = chroma.clamp(min=1e-6)
    sextant = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    # c(n) = v - chroma * clip(min(k, 4 - k), 0, 1), k = (n + hue / 60 degrees) mod 6, n = 5, 3, 1 for red, green, blue.
    k_C = torch.remainder(sextant[..., None] + turns * 6.0 + sextant.new_tensor((5.0, 3.0, 1.0)), 6.0)
    return value[..., None] - chroma[..., None] * torch.minimum(k_C, 4.0 - k_C).clamp_(0.0, 1.0)
