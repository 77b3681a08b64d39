"""Target styling: labelled source samples re-lit, grained and blurred to look like the frame just seen.

Per horizontal band (veils, spray and headlights change with image height) each channel of the source takes the target's
mean and deviation (Reinhard et al. 2001, "Color transfer between images", eq. 10-11). Channels are opponent colours
(grey, red-blue, green), so that a washed-out target also washes out colours. What mean and deviation miss is how the
variance is spread over frequencies, and that is read off the roughness r = E[(x_i - x_{i+1})^2] / (2 Var x), one minus
the correlation of neighbours: 1 for white noise, a few hundredths for streets.

- A channel of the target that is rougher than the source's holds noise or streaks. Uncorrelated parts add in variance
  and in r Var, so their share of the variance is w = (r_target - r_source) / (1 - r_source). The source then takes only
  (1 - w) of the target's variance and noise the rest; grey noise is drawn out vertically until the vertical roughness
  fits as well. That gives rain streaks without a rain renderer, and sensor noise at night.
- A target smoother than the source is out of focus: the source is blurred until its roughness falls to the target's.

Source roughness is a property of the replay buffer, measured once. Labels stay true, so what is learnt cannot collapse.
"""

# B batch, H height, W width, C channels (opponent colours unless said otherwise), S bands

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
GREY = 0
OPPONENT = F.normalize(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))  # grey, red-blue, green
SMOOTHER = 0.8  # a target below this share of the source's roughness counts as blurred


@dataclass(frozen=True, slots=True, eq=False)
class Roughness:
    """Roughness per channel and band, horizontally and vertically, each (C, S)."""

    across_CS: Tensor
    down_CS: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """What one target frame looks like; bands from top to bottom.

    `grain_CS` is noise's share of the variance in [0, MAX_GRAIN], `streak_pixels` the vertical extent of grey noise,
    `blur_sigma` in pixels.
    """

    mean_CS: Tensor
    deviation_CS: Tensor
    grain_CS: Tensor
    streak_pixels: int
    blur_sigma: float


class Styler:
    """Knows the source's roughness at every blur level; turns target frames into styles and applies them."""

    def __init__(self, source_BHWC: Tensor, *, generator: torch.Generator) -> None:
        images_BCHW = to_opponent(source_BHWC)
        self._levels = [roughness(blurred(images_BCHW, sigma)) for sigma in BLUR_SIGMAS]
        self._generator = generator

    def read(self, target_HWC: Tensor) -> Style:
        """The style of one uint8 RGB frame."""
        target_1CHW = to_opponent(target_HWC[None])
        mean_1CS, deviation_1CS = band_statistics(target_1CHW)
        seen, source = roughness(target_1CHW), self._levels[0]
        grain_CS = ((seen.across_CS - source.across_CS) / (1 - source.across_CS)).clamp(0.0, MAX_GRAIN)
        return Style(
            mean_CS=mean_1CS[0],
            deviation_CS=deviation_1CS[0],
            grain_CS=grain_CS,
            streak_pixels=_streak_pixels(seen, source, grain_CS),
            blur_sigma=self._blur_sigma(seen),
        )

    def apply(self, images_BHWC: Tensor, style: Style) -> Tensor:
        """uint8 RGB source images in that style, uint8 of the same shape."""
        source_BCHW = blurred(to_opponent(images_BHWC), style.blur_sigma)
        height, width = source_BCHW.shape[2:]
        mean_BCS, deviation_BCS = band_statistics(source_BCHW)
        wanted_CS = style.deviation_CS * (1 - style.grain_CS).sqrt()
        gain_BCS = (wanted_CS / deviation_BCS).clamp_(max=MAX_GAIN)
        styled_BCHW = (source_BCHW - rows(mean_BCS, height)).mul_(rows(gain_BCS, height))
        styled_BCHW += rows(style.mean_CS[None], height)
        amplitude_1CS = (style.deviation_CS * style.grain_CS.sqrt())[None]
        styled_BCHW += self._grain(len(images_BHWC), (height, width), style.streak_pixels) * rows(amplitude_1CS, height)
        return to_rgb(styled_BCHW)

    def _blur_sigma(self, seen: Roughness) -> float:
        """The blur level at which the source is as smooth as the target; 0 unless that is clearly smoother."""
        smoothness = self._relative(seen)
        if smoothness >= SMOOTHER:
            return 0.0
        errors = [abs(self._relative(level) - smoothness) for level in self._levels]
        return BLUR_SIGMAS[errors.index(min(errors))]

    def _relative(self, seen: Roughness) -> float:
        """Grey roughness against the sharp source's, in the middle band."""
        return float((seen.across_CS[GREY] / self._levels[0].across_CS[GREY]).median())

    def _grain(self, num: int, size_HW: tuple[int, int], streak_pixels: int) -> Tensor:
        """Noise of variance 1, (B, C, H, W): white, but grey is a running mean of `streak_pixels` down."""
        height, width = size_HW
        noise_BCHW = torch.randn((num, 3, height + streak_pixels - 1, width), generator=self._generator)
        streaks_B1HW = F.avg_pool2d(noise_BCHW[:, :1], (streak_pixels, 1), stride=1) * streak_pixels**0.5
        return torch.cat([streaks_B1HW, noise_BCHW[:, 1:, :height]], dim=1)


def to_opponent(image_BHWC: Tensor) -> Tensor:
    """uint8 RGB (B, H, W, 3) to float opponent colours (B, C, H, W): orthonormal, so noise stays uncorrelated."""
    return (image_BHWC.float() @ OPPONENT.T).permute(0, 3, 1, 2)


def to_rgb(opponent_BCHW: Tensor) -> Tensor:
    """Inverse of `to_opponent`, rounded and clamped to uint8."""
    return (opponent_BCHW.permute(0, 2, 3, 1) @ OPPONENT).round_().clamp_(0, 255).to(torch.uint8)


def band_statistics(image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (at least 1) per channel and band, (B, C, S) each."""
    mean_BCS = F.adaptive_avg_pool2d(image_BCHW, (NUM_BANDS, 1))[..., 0]
    square_BCS = F.adaptive_avg_pool2d(image_BCHW.square(), (NUM_BANDS, 1))[..., 0]
    return mean_BCS, (square_BCS - mean_BCS.square()).clamp_(min=1.0).sqrt_()


def roughness(image_BCHW: Tensor) -> Roughness:
    """E[(difference of neighbours)^2] / (2 variance) per channel and band, over the batch."""
    variance_CS = _band_mean(image_BCHW.square()) - _band_mean(image_BCHW).square()
    across_CS = _band_mean((image_BCHW[..., 1:] - image_BCHW[..., :-1]).square())
    down_CS = _band_mean((image_BCHW[..., 1:, :] - image_BCHW[..., :-1, :]).square())
    twice_CS = 2 * variance_CS.clamp(min=1.0)
    return Roughness((across_CS / twice_CS).clamp(max=0.99), (down_CS / twice_CS).clamp(max=0.99))


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


def _streak_pixels(seen: Roughness, source: Roughness, grain_CS: Tensor) -> int:
    """Extent at which grey noise has the vertical roughness left to explain: a running mean over n has 1 / n."""
    grain_S = grain_CS[GREY]
    total = float(grain_S.sum())
    if total == 0.0:
        return 1
    left = float((seen.down_CS[GREY] - (1 - grain_S) * source.down_CS[GREY]).sum()) / total
    return int(min(MAX_STREAK, max(1, round(1 / max(left, 1e-3)))))


def _band_mean(plane_BCHW: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(plane_BCHW, (NUM_BANDS, 1))[..., 0].mean(dim=0)
