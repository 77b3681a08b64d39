"""Target styling: labelled source samples re-lit, blurred and grained to look like the frame just seen.

Per horizontal band (veils, spray and headlights change with image height) each channel of the source takes the
target's mean and deviation (Reinhard et al. 2001, "Color transfer between images", eq. 10-11, in RGB). What these
two miss is how the variance is spread over frequencies, and that is read off the roughness r = E[(x_i - x_{i+1})^2]
/ (2 Var x), one minus the correlation of neighbours: 1 for white noise, a few hundredths for streets.

- A target rougher than the source holds streaks or noise. Uncorrelated parts add in variance and in r Var, so their
share of the variance is w = (r_target - r_source) / (1 - r_source). The source then takes only (1 - w) of the
target's variance and noise the rest, drawn out vertically until the vertical roughness fits as well: rain streaks
without a rain renderer. - A target smoother than the source is out of focus: the source is blurred until its
roughness falls to the target's.

Source roughness is a property of the replay buffer, measured once. Labels stay true, so what is learnt cannot
collapse.
"""

# B batch, H height, W width, C channels, S bands, L blur levels

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

NUM_BANDS = 8
MAX_GAIN = 4.0  # a nearly flat source band must not be blown up
MAX_GRAIN = 0.9  # share of the variance noise may take
MAX_STREAK = 31  # pixels
BLUR_SIGMAS = (0.0, 0.6, 0.9, 1.3, 1.8, 2.5, 3.5)
SMOOTHER = 0.8  # a target below this share of the source's roughness counts as blurred


@dataclass(frozen=True, slots=True, eq=False)
class Roughness:
    """Roughness of luma per band, horizontally and vertically, each (S,)."""

    across_S: Tensor
    down_S: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """What one target frame looks like; bands from top to bottom.

    `grain_S` is noise's share of the variance in [0, MAX_GRAIN], `streak_pixels` its vertical extent, `blur_sigma` in
    pixels.
    """

    mean_CS: Tensor
    deviation_CS: Tensor
    grain_S: Tensor
    streak_pixels: int
    blur_sigma: float


class Styler:
    """Knows the source's roughness at every blur level; turns target frames into styles and applies them."""

    def __init__(self, source_BHWC: Tensor, *, generator: torch.Generator) -> None:
        images_BCHW = source_BHWC.permute(0, 3, 1, 2).float()
        self._levels = [roughness(blurred(images_BCHW, sigma)) for sigma in BLUR_SIGMAS]
        self._generator = generator

    def read(self, target_HWC: Tensor) -> Style:
        """The style of one uint8 frame."""
        target_1CHW = target_HWC.permute(2, 0, 1)[None].float()
        mean_1CS, deviation_1CS = band_statistics(target_1CHW)
        seen, source = roughness(target_1CHW), self._levels[0]
        grain_S = ((seen.across_S - source.across_S) / (1 - source.across_S)).clamp(0.0, MAX_GRAIN)
        return Style(
            mean_CS=mean_1CS[0],
            deviation_CS=deviation_1CS[0],
            grain_S=grain_S,
            streak_pixels=_streak_pixels(seen, source, grain_S),
            blur_sigma=self._blur_sigma(seen),
        )

    def apply(self, images_BHWC: Tensor, style: Style) -> Tensor:
        """uint8 source images in that style, uint8 of the same shape."""
        source_BCHW = blurred(images_BHWC.permute(0, 3, 1, 2).float(), style.blur_sigma)
        height = source_BCHW.shape[2]
        mean_BCS, deviation_BCS = band_statistics(source_BCHW)
        wanted_CS = style.deviation_CS * (1 - style.grain_S).sqrt()
        gain_BCS = (wanted_CS / deviation_BCS).clamp_(max=MAX_GAIN)
        styled_BCHW = (source_BCHW - rows(mean_BCS, height)).mul_(rows(gain_BCS, height))
        styled_BCHW += rows(style.mean_CS[None], height)
        if float(style.grain_S.max()) > 0.0:
            amplitude_1CS = (style.deviation_CS * style.grain_S.sqrt())[None]
            grain_B1HW = self._grain(source_BCHW.shape[0], source_BCHW.shape[2:], style.streak_pixels)
            styled_BCHW += grain_B1HW.to(styled_BCHW.device) * rows(amplitude_1CS, height)
        return styled_BCHW.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def _blur_sigma(self, seen: Roughness) -> float:
        """The blur level at which the source is as smooth as the target; 0 unless that is clearly smoother."""
        smoothness = self._relative(seen)
        if smoothness >= SMOOTHER:
            return 0.0
        errors = [abs(self._relative(level) - smoothness) for level in self._levels]
        return BLUR_SIGMAS[errors.index(min(errors))]

    def _relative(self, seen: Roughness) -> float:
        """Roughness against the sharp source's, in the middle band."""
        return float((seen.across_S / self._levels[0].across_S).median())

    def _grain(self, num: int, size_HW: Sequence[int], streak_pixels: int) -> Tensor:
        """Grey noise of variance 1, (B, 1, H, W): white across, a running mean of `streak_pixels` down."""
        height, width = size_HW
        noise = torch.randn((num, 1, height + streak_pixels - 1, width), generator=self._generator)
        return F.avg_pool2d(noise, (streak_pixels, 1), stride=1) * streak_pixels**0.5


def band_statistics(image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (at least 1) per channel and band, (B, C, S) each."""
    mean_BCS = F.adaptive_avg_pool2d(image_BCHW, (NUM_BANDS, 1))[..., 0]
    square_BCS = F.adaptive_avg_pool2d(image_BCHW.square(), (NUM_BANDS, 1))[..., 0]
    return mean_BCS, (square_BCS - mean_BCS.square()).clamp_(min=1.0).sqrt_()


def roughness(image_BCHW: Tensor) -> Roughness:
    """E[(difference of neighbours)^2] / (2 variance) of luma per band, over the batch."""
    luma_B1HW = image_BCHW.mean(dim=1, keepdim=True)
    variance_S = _band_mean(luma_B1HW.square()) - _band_mean(luma_B1HW).square()
    across_S = _band_mean((luma_B1HW[..., 1:] - luma_B1HW[..., :-1]).square())
    down_S = _band_mean((luma_B1HW[..., 1:, :] - luma_B1HW[..., :-1, :]).square())
    twice_S = 2 * variance_S.clamp(min=1.0)
    return Roughness((across_S / twice_S).clamp(max=0.99), (down_S / twice_S).clamp(max=0.99))


def rows(bands_BCS: Tensor, height: int) -> Tensor:
    """Band values as row values (B, C, H, 1), interpolated linearly between band centres so that no edge shows."""
    return F.interpolate(bands_BCS[..., None], size=(height, 1), mode="bilinear", align_corners=False)


def blurred(image_BCHW: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with reflected borders; the image itself for sigma 0."""
    if sigma == 0.0:
        return image_BCHW
    taps = 2 * max(1, round(3 * sigma)) + 1
    result: Tensor = gaussian_blur2d(image_BCHW, (taps, taps), (sigma, sigma))
    return result


def _streak_pixels(seen: Roughness, source: Roughness, grain_S: Tensor) -> int:
    """Vertical extent at which noise has the vertical roughness left to explain: a running mean over n has 1 / n."""
    total = float(grain_S.sum())
    if total == 0.0:
        return 1
    left = float((seen.down_S - (1 - grain_S) * source.down_S).sum()) / total
    return int(min(MAX_STREAK, max(1, round(1 / max(left, 1e-3)))))


def _band_mean(plane_B1HW: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(plane_B1HW, (NUM_BANDS, 1)).mean(dim=(0, 1, 3))
