"""Target styling: labelled source samples re-lit, veiled, grained and blurred to look like the frames just seen.

Brightness, colour and contrast go place by place (`layout.py`, `tones.py`): sky, and ground and what stands on it by
distance, so that a veil thickens with depth. Channels are opponent colours (grey, red-blue, green), so that a
washed-out stream also washes out colours. What mean and deviation miss is how the variance is spread over frequencies,
and that is read off the roughness r = E[(x_i - x_{i+1})^2] / (2 Var x) of horizontal bands, one minus the correlation
of neighbours: 1 for white noise, a few hundredths for streets.

- A channel of the target that is rougher than the source's holds noise or streaks. Uncorrelated parts add in variance
  and in r Var, so their share of the variance is w = (r_target - r_source) / (1 - r_source). The source then takes only
  (1 - w) of the target's variance and noise the rest (`grain.py`); grey noise is drawn out vertically until the
  vertical roughness fits as well. That gives rain streaks without a rain renderer, and sensor noise at night.
- A target smoother than the source is out of focus: the source is blurred until its roughness falls to the target's.

What the source looks like is a property of the replay buffer, measured once. Labels stay true, so what is learnt cannot
collapse; where the stream's own labels come from a model that is wrong, only colours suffer.
"""

# N samples, B batch, H height, W width, C channels (opponent colours unless said otherwise), S bands, L blur levels

from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from replay.augment import Window
from runtime.adaptation.grain import LEAST_STREAK, grain
from runtime.adaptation.layout import place
from runtime.adaptation.tones import DECAY, Recolouring, Tones, recolouring, tones_of
from runtime.adaptation.usual_layout import UsualLayout
from runtime.state import State

NUM_BANDS = 8
MAX_GRAIN = 0.9  # share of the variance noise may take
MAX_STREAK = 31  # pixels
BLUR_SIGMAS = (0.0, 0.6, 0.9, 1.3, 1.8, 2.5, 3.5)
GREY = 0
OPPONENT = F.normalize(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))  # grey, red-blue, green
SMOOTHER = 0.8  # a target below this share of the source's roughness counts as blurred


@dataclass(frozen=True, slots=True, eq=False)
class Roughness:
    """Roughness per channel and band, each (C, S): of pixels side by side, of those two apart, of one below another."""

    across_CS: Tensor
    apart_CS: Tensor
    down_CS: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """What the stream looks like; bands from top to bottom.

    `grain_CS` is noise's share of the variance in [0, MAX_GRAIN], `deviation_CS` the frame's, `streak_pixels` the
    vertical extent of grey noise, `blur_sigma` in pixels.
    """

    recolouring: Recolouring
    deviation_CS: Tensor
    grain_CS: Tensor
    streak_pixels: int
    blur_sigma: float


class Styler:
    """Knows the source's tones and its roughness at every blur level; turns target frames into styles, applies them.

    Remembers the stream's tones over some frames. uint8 source samples (N, H, W, 3) and labels (N, H, W).
    """

    def __init__(self, source_NHWC: Tensor, labels_NHW: Tensor, *, generator: torch.Generator) -> None:
        images_NCHW = to_opponent(source_NHWC)
        self._levels, spreads = [], []
        for sigma in BLUR_SIGMAS:  # one at a time: a level of 64 samples at 256x512 takes 100 MB
            level_NCHW = blurred(images_NCHW, sigma)
            self._levels.append(roughness(level_NCHW))
            spreads.append(level_NCHW.var(dim=(2, 3)).mean(dim=0))
        spreads_LC = torch.stack(spreads)
        self._contrast_LC = (spreads_LC / spreads_LC[0].clamp(min=1e-6)).clamp(min=1e-2).sqrt()
        self._usual = usual = UsualLayout(labels_NHW)
        samples = zip(images_NCHW, labels_NHW, strict=True)
        tones = (tones_of(usual.thinned(image_CHW), usual.crisp(label_HW)) for image_CHW, label_HW in samples)
        self._source = reduce(Tones.plus, tones)
        self._stream: Tones | None = None
        self._generator = generator

    def read(self, target_HWC: Tensor, labels_HW: Tensor) -> Style:
        """The style of the stream, of which this is the newest uint8 RGB frame, with its served labels (uint8)."""
        step = self._usual.step
        columns_1CHW, rows_1CHW = to_opponent(target_HWC[None, :, ::step]), to_opponent(target_HWC[None, ::step])
        seen = tones_of(columns_1CHW[0, :, ::step], self._usual.weigh(labels_HW))
        self._stream = seen if self._stream is None else self._stream.plus(seen, decay=DECAY)
        across = roughness(rows_1CHW)
        rough = Roughness(across.across_CS, across.apart_CS, roughness(columns_1CHW).down_CS)
        source, deviation_CS = self._levels[0], band_deviation(rows_1CHW)[0]
        grain_CS = grain_share(rough.across_CS, source.across_CS)
        streak_pixels = _streak_pixels(rough, source, grain_CS)
        if streak_pixels >= LEAST_STREAK:
            grain_CS = broad_grain_share(rough, source, deviation_CS)
        return Style(
            recolouring=recolouring(self._source, self._stream),
            deviation_CS=deviation_CS,
            grain_CS=grain_CS,
            streak_pixels=streak_pixels,
            blur_sigma=self._blur_sigma(rough),
        )

    def apply(self, image_HWC: Tensor, label_HW: Tensor, style: Style, window: Window) -> Tensor:
        """The part of a uint8 RGB source sample within the window in that style, by the sample's labels; a copy."""
        part_1CHW = to_opponent(image_HWC[None, window.rows, window.columns])
        source_1CHW = blurred(part_1CHW, style.blur_sigma)
        lost_C = self._contrast_LC[BLUR_SIGMAS.index(style.blur_sigma)]
        height = len(label_HW)
        kept_CH1 = rows((1 - style.grain_CS).sqrt()[None], height)[0, :, window.rows] / lost_C[:, None, None]
        places = place(label_HW[:, window.columns], horizon=self._usual.horizon).of_rows(window.rows)
        recoloured_CHW = style.recolouring.apply(source_1CHW[0], places, kept_CH1)
        amplitude_CH1 = rows((style.deviation_CS * style.grain_CS.sqrt())[None], height)[0, :, window.rows]
        size_HW = (window.height, window.width)
        recoloured_CHW += grain(size_HW, style.streak_pixels, generator=self._generator) * amplitude_CH1
        return to_rgb(recoloured_CHW[None])[0]

    def state(self) -> State:
        """The stream's tones."""
        return {"stream": None if self._stream is None else self._stream.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"stream": None}:
                self._stream = None
            case {"stream": dict(stream)}:
                self._stream = Tones.of_state(stream)
            case _:
                raise ValueError(f"not the state of a styler: it has the keys {sorted(state)}")

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


def to_opponent(image_BHWC: Tensor) -> Tensor:
    """uint8 RGB (B, H, W, 3) to float opponent colours (B, C, H, W): orthonormal, so noise stays uncorrelated."""
    return (image_BHWC.float() @ OPPONENT.T).permute(0, 3, 1, 2)


def to_rgb(opponent_BCHW: Tensor) -> Tensor:
    """Inverse of `to_opponent`, rounded and clamped to uint8."""
    return (opponent_BCHW.permute(0, 2, 3, 1) @ OPPONENT).round_().clamp_(0, 255).to(torch.uint8)


def band_deviation(image_BCHW: Tensor) -> Tensor:
    """Deviation (at least 1) per channel and band, (B, C, S)."""
    mean_BCS = F.adaptive_avg_pool2d(image_BCHW, (NUM_BANDS, 1))[..., 0]
    square_BCS = F.adaptive_avg_pool2d(image_BCHW.square(), (NUM_BANDS, 1))[..., 0]
    return (square_BCS - mean_BCS.square()).clamp_(min=1.0).sqrt_()


def roughness(image_BCHW: Tensor) -> Roughness:
    """E[(difference of neighbours)^2] / (2 variance) per channel and band, over the batch."""
    variance_CS = _band_mean(image_BCHW.square()) - _band_mean(image_BCHW).square()
    across_CS = _band_mean((image_BCHW[..., 1:] - image_BCHW[..., :-1]).square())
    apart_CS = _band_mean((image_BCHW[..., 2:] - image_BCHW[..., :-2]).square())
    down_CS = _band_mean((image_BCHW[..., 1:, :] - image_BCHW[..., :-1, :]).square())
    twice_CS = 2 * variance_CS.clamp(min=1.0)
    return Roughness(*((rough_CS / twice_CS).clamp(max=0.99) for rough_CS in (across_CS, apart_CS, down_CS)))


def grain_share(seen_CS: Tensor, source_CS: Tensor) -> Tensor:
    """White noise's share of the variance in [0, MAX_GRAIN], (C, S), from the roughness of stream and source."""
    return ((seen_CS - source_CS) / (1 - source_CS)).clamp_(0.0, MAX_GRAIN)


def broad_grain_share(seen: Roughness, source: Roughness, deviation_CS: Tensor) -> Tensor:
    """The same of streaks, for a stream of that deviation.

    Streaks are some pixels wide, so their neighbours are alike too: each distance bounds the share from below, and the
    higher bound counts. They cross the whole picture: where a band's scenery hides them, the middle of all bands'
    stands in.
    """
    near_CS = grain_share(seen.across_CS, source.across_CS)
    far_CS = grain_share(seen.apart_CS, source.apart_CS)
    variance_CS = torch.maximum(near_CS, far_CS) * deviation_CS.square()
    variance_CS = torch.maximum(variance_CS, variance_CS.median(dim=1, keepdim=True).values)
    return (variance_CS / deviation_CS.square()).clamp_(max=MAX_GRAIN)


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
