"""Grain: noise of a given extent, from sensor noise to streaks of rain.

The texture of grain can be measured (`grain_gauge.py`): its variance, how far it is drawn out and how broad it is. What
single drops come on top of it cannot: near ones leave few broad bright streaks, wind slants them and driving fans them
out (Garg and Nayar, "Vision and rain", IJCV 2007). What is not measured is drawn anew for every sample, so that what
is learnt holds for any of it (Tobin et al. 2017, "Domain randomization").
"""

# H height, W width, C channels (opponent colours: grey first)

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_STREAK = 4  # pixels; shorter is no streak
NUM_LAYERS = 2
MOST_STREAKS = 1.6  # variance of streaks that can be told apart, in that of the texture; 0.8 on average, as rendered
LENGTHS = (0.5, 3.0)  # of the measured extent
MAX_WIDTH = 4  # pixels
SPARSITIES = (2.0, 3.3)  # minus the decimal logarithm of the streaks per pixel
MAX_TILT = 0.3  # columns per row, all streaks alike
MAX_FAN = 0.8  # columns per row, between the left edge and the right one


@dataclass(frozen=True, slots=True, eq=False)
class Grain:
    """Texture of variance (C,); grey texture is `streak_pixels` pixels long and `breadth` wide, from 1 to 2 pixels.

    From LEAST_STREAK on there are single streaks besides.
    """

    variance_C: Tensor
    streak_pixels: int
    breadth: float

    @property
    def total_C(self) -> Tensor:
        """Variance of all grain, (C,): of single streaks, what there is on average."""
        if self.streak_pixels < LEAST_STREAK:
            return self.variance_C
        return self.variance_C * torch.tensor([1 + MOST_STREAKS / 2, 1.0, 1.0])

    def draw(self, size_HW: tuple[int, int], *, generator: torch.Generator) -> Tensor:
        """A sample of it, of mean 0, float32 (3, H, W): white in colours."""
        height, width = size_HW
        noise_CHW = torch.randn((3, height + self.streak_pixels - 1, width + 1), generator=generator)
        side = neighbours_weight(self.breadth)
        grey_HW = (noise_CHW[0, :, :-1] + side * noise_CHW[0, :, 1:]) / (1 + side**2) ** 0.5
        grey_HW = F.avg_pool2d(grey_HW[None], (self.streak_pixels, 1), stride=1)[0] * self.streak_pixels**0.5
        if self.streak_pixels >= LEAST_STREAK:
            share = MOST_STREAKS * float(torch.rand((), generator=generator))
            grey_HW = grey_HW + share**0.5 * sum_of_layers(size_HW, self.streak_pixels, generator=generator)
        drawn_CHW = torch.cat([grey_HW[None], noise_CHW[1:, :height, :width]])
        return drawn_CHW * self.variance_C.sqrt()[:, None, None]


def neighbours_weight(breadth: float) -> float:
    """The w in [0, 1] for which x_i + w x_(i+1) of white noise x is that broad: one over one minus the correlation
    w / (1 + w^2) of its neighbours.
    """
    alike = 1 - 1 / breadth
    return 0.0 if alike == 0.0 else (1 - max(0.0, 1 - 4 * alike**2) ** 0.5) / (2 * alike)


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
    tilt, fan = slants
    slope_W = tilt + fan * (torch.arange(width) / width - 0.5)
    margin = int(height / 2 * float(slope_W.abs().max())) + 1  # columns that the shear looks at beyond the picture
    drops_HW = torch.rand((height + length - 1, width + 2 * margin + breadth - 1), generator=generator)
    drops_HW = torch.where(drops_HW < density, -(drops_HW / density).clamp_(min=1e-6).log_(), 0.0)
    sums_HW = F.pad(drops_HW.cumsum(0), (0, 0, 1, 0))  # a box of any length costs the same
    boxes_HW = F.avg_pool2d((sums_HW[length:] - sums_HW[:-length])[None] / length, (1, breadth), stride=1)[0]
    rows_H1 = torch.arange(height)[:, None] - height / 2
    origin_HW = (torch.arange(width) + margin - slope_W * rows_H1).round_().long()
    return boxes_HW.gather(1, origin_HW)


def standardised(noise_HW: Tensor) -> Tensor:
    """Shifted and scaled to mean 0 and variance 1; of constant noise, 0."""
    centred_HW = noise_HW - noise_HW.mean()
    return centred_HW / centred_HW.square().mean().sqrt().clamp_(min=1e-6)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share
