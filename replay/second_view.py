"""A second view of an image for consistency losses: other colours, a small warp, perhaps blur and grain.

The warp is kept, so that answers about the first view can be brought to the second one's pixels.

    warp = random_warp(generator)
    second_BCHW = warp.apply(recoloured(images_BHWC, generator).permute(0, 3, 1, 2))
    expected_BKhw = warp.apply(probabilities_BKhw)

Ranges are those of the test-time augmentation of CoTTA, RoTTA and ROID (after KATANA, Cohen et al. 2021, arXiv
2109.08191): brightness +-40 %, contrast +-30 %, saturation +-50 %, hue +-0.06 turns, gamma +-0.3, in random order;
rotation +-15 degrees, shift up to an eighth of each side, zoom +-10 %, mirrored or not. One draw serves a whole batch,
as theirs does. Saturation is that of HSV. What a warp brings in from outside is reflected, in images and answers alike.
"""

# B batch, H height, W width, C channels

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from replay import colour
from replay.augment import gaussian_blur

_DEGREES = 15.0
_SHIFT = 1.0 / 8.0  # theirs is a sixteenth of an image padded to twice its sides
_ZOOM = 0.1
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GAMMA = 0.4, 0.3, 0.5, 0.06, 0.3
_BLUR_SIGMA = (0.001, 0.5)
_GRAIN = 0.005


@dataclass(frozen=True, slots=True)
class Warp:
    """Where the pixels of the second view come from: mirrored, turned and zoomed about the centre, then shifted.

    `shift_xy` is in image sides.
    """

    radians: float = 0.0
    zoom: float = 1.0
    shift_xy: tuple[float, float] = (0.0, 0.0)
    is_mirrored: bool = False

    def apply(self, x_BCHW: Tensor) -> Tensor:
        """The warped map (B, C, H, W), bilinear, at the size it came in."""
        H, W = x_BCHW.shape[-2:]
        cos, sin = math.cos(self.radians) / self.zoom, math.sin(self.radians) / self.zoom
        side = -1.0 if self.is_mirrored else 1.0
        shift_x, shift_y = (2.0 * share for share in self.shift_xy)  # affine_grid measures from -1 to 1
        theta = x_BCHW.new_tensor([[side * cos, -sin * H / W, -shift_x], [side * sin * W / H, cos, -shift_y]])
        grid_BHW2 = F.affine_grid(theta.expand(x_BCHW.shape[0], 2, 3), list(x_BCHW.shape), align_corners=False)
        return F.grid_sample(x_BCHW, grid_BHW2, mode="bilinear", padding_mode="reflection", align_corners=False)


def random_warp(generator: torch.Generator) -> Warp:
    """Drawn uniformly in the published ranges."""
    return Warp(
        radians=math.radians(_uniform(-_DEGREES, _DEGREES, generator)),
        zoom=_uniform(1.0 - _ZOOM, 1.0 + _ZOOM, generator),
        shift_xy=(_uniform(-_SHIFT, _SHIFT, generator), _uniform(-_SHIFT, _SHIFT, generator)),
        is_mirrored=_uniform(0.0, 1.0, generator) < 0.5,
    )


def recoloured(images_BHWC: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 images in other colours, float in [0, 1]."""
    x_BHWC = images_BHWC.to(torch.float32).div(255.0)
    ranges = (_BRIGHTNESS, _CONTRAST, _SATURATION, _GAMMA)
    gain, contrast, saturation, gamma = (_uniform(1.0 - width, 1.0 + width, generator) for width in ranges)
    turns = _uniform(-_HUE, _HUE, generator)
    for step in torch.randperm(5, generator=generator).tolist():
        match step:
            case 0:
                x_BHWC = colour.adjust_contrast(x_BHWC, gain)
            case 1:
                x_BHWC = torch.stack([colour.adjust_contrast_about_mean(x_HWC, contrast) for x_HWC in x_BHWC])
            case 2:
                x_BHWC = colour.adjust_saturation(x_BHWC, saturation)
            case 3:
                x_BHWC = colour.adjust_hue(x_BHWC, turns)
            case _:
                x_BHWC = x_BHWC.clamp(0.0, 1.0).pow(gamma)  # hue may leave the range by a rounding
    return x_BHWC.clamp(0.0, 1.0)


def roughened(images_BHWC: Tensor, generator: torch.Generator) -> Tensor:
    """Slightly blurred (sigma up to half a pixel) and grained (deviation 0.005), float in [0, 1]; CoTTA's and RoTTA's
    views are, ROID's are not.
    """
    blurred_BHWC = gaussian_blur(images_BHWC, sigma=_uniform(*_BLUR_SIGMA, generator))
    grain_BHWC = torch.randn(images_BHWC.shape, generator=generator).to(images_BHWC.device)
    return (blurred_BHWC + _GRAIN * grain_BHWC).clamp(0.0, 1.0)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
