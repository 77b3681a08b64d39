"""Grain: noise of a given extent, from sensor noise to streaks of rain.

What the variance of grain is can be measured (`styling.py`), and how far it is drawn out; how it is spread over single
drops cannot: near drops leave few broad bright streaks, far ones a fine texture, wind slants them and driving fans them
out (Garg and Nayar, "Vision and rain", IJCV 2007). What is not measured is drawn anew for every sample, so that what
is learnt holds for any of it (Tobin et al. 2017, "Domain randomization").
"""

# H height, W width, C channels (opponent colours: grey first)

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_STREAK = 4  # pixels; shorter is no streak
NUM_LAYERS = 2
MAX_STREAK_SHARE = 0.9  # of the variance, in streaks that can be told apart
LENGTHS = (0.3, 1.5)  # of the measured extent
MAX_WIDTH = 4  # pixels
SPARSITIES = (2.0, 3.3)  # minus the decimal logarithm of the streaks per pixel
MAX_TILT = 0.3  # columns per row, all streaks alike
MAX_FAN = 0.8  # columns per row, between the left edge and the right one


def grain(size_HW: tuple[int, int], streak_pixels: int, *, generator: torch.Generator) -> Tensor:
    """Noise of mean 0 and variance 1 in each channel, float32 (3, H, W): white, but grey is drawn out downwards over
    `streak_pixels`, in part into single streaks where that is LEAST_STREAK or more.
    """
    height, width = size_HW
    noise_CHW = torch.randn((3, height + streak_pixels - 1, width), generator=generator)
    grey_HW = F.avg_pool2d(noise_CHW[None, :1], (streak_pixels, 1), stride=1)[0, 0] * streak_pixels**0.5
    if streak_pixels >= LEAST_STREAK:
        share = float(MAX_STREAK_SHARE * torch.rand((), generator=generator))
        streaks_HW = sum_of_layers(size_HW, streak_pixels, generator=generator)
        grey_HW = grey_HW * (1 - share) ** 0.5 + streaks_HW * share**0.5
    return torch.cat([grey_HW[None], noise_CHW[1:, :height]])


def sum_of_layers(size_HW: tuple[int, int], streak_pixels: int, *, generator: torch.Generator) -> Tensor:
    """Bright streaks on nothing, of mean 0 and variance 1, (H, W): NUM_LAYERS of a length, breadth and slant each."""
    total_HW = torch.zeros(size_HW)
    for _ in range(NUM_LAYERS):
        length, breadth, sparsity, tilt, fan = torch.rand(5, generator=generator).tolist()
        total_HW += standardised(
            layer(
                size_HW,
                length=max(3, round(streak_pixels * _between(LENGTHS, length))),
                breadth=1 + int(MAX_WIDTH * breadth),
                density=10 ** -_between(SPARSITIES, sparsity),
                slants=(MAX_TILT * (2 * tilt - 1), MAX_FAN * fan),
                generator=generator,
            )
        )
    return standardised(total_HW)


def layer(
    size_HW: tuple[int, int],
    *,
    length: int,
    breadth: int,
    density: float,
    slants: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Streaks `density` per pixel, (H, W): drops of exponential brightness, smeared into boxes, sheared by the tilt and
    the fan of `slants`.
    """
    height, width = size_HW
    margin = height  # columns that the shear may look at beyond the picture
    drops_HW = torch.rand((height + length - 1, width + 2 * margin + breadth - 1), generator=generator)
    drops_HW = torch.where(drops_HW < density, -(drops_HW / density).clamp_(min=1e-6).log_(), 0.0)
    boxes_HW = F.avg_pool2d(drops_HW[None, None], (length, breadth), stride=1)[0, 0]
    tilt, fan = slants
    columns_W = torch.arange(width)
    slope_W = tilt + fan * (columns_W / width - 0.5)
    rows_H1 = torch.arange(height)[:, None] - height / 2
    origin_HW = (columns_W + margin - slope_W * rows_H1).round_().long()
    return boxes_HW.gather(1, origin_HW)


def standardised(noise_HW: Tensor) -> Tensor:
    """Shifted and scaled to mean 0 and variance 1; of constant noise, 0."""
    centred_HW = noise_HW - noise_HW.mean()
    return centred_HW / centred_HW.square().mean().sqrt().clamp_(min=1e-6)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
