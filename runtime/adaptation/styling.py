"""Target styling: labelled source samples re-lit, veiled, grained and blurred to look like the frames just seen.

Brightness, colour and contrast go place by place (`layout.py`, `tones.py`): sky, and ground and what stands on it by
distance, so that a veil thickens with depth; then by rows what that leaves (`row_tones.py`). Channels are opponent
colours (grey, red-blue, green), so that a washed-out stream also washes out colours.

What mean and deviation miss is grain and blur.

- Noise and streaks that the source has not are read where a frame is flattest (`grain_gauge.py`). The source takes what
  is left of the stream's variance without them, and they are drawn on top (`grain.py`). That gives rain streaks without
  a rain renderer, and sensor noise at night.
- A target smoother than the source is out of focus: the source is blurred until its roughness r falls to the target's,
  r = E[(x_i - x_{i+1})^2] / (2 Var x), one minus the correlation of neighbours: 1 for white noise, a few hundredths for
  streets.

What the source looks like is a property of the replay buffer, measured once. Labels stay true, so what is learnt cannot
collapse; where the stream's own labels come from a model that is wrong, only colours suffer.
"""

# N samples, B batch, H height, W width, C channels (opponent colours unless said otherwise), S bands, L blur levels

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import starmap

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from replay.augment import Window
from runtime.adaptation.grain import Grain
from runtime.adaptation.grain_gauge import GREY, GrainGauge
from runtime.adaptation.layout import place
from runtime.adaptation.row_tones import SourceRows, recolour_rows, row_tones
from runtime.adaptation.tones import DECAY, Recolouring, Tones, recolouring, tones_of
from runtime.adaptation.usual_layout import UsualLayout
from runtime.state import State

NUM_BANDS = 8
BLUR_SIGMAS = (0.0, 0.6, 0.9, 1.3, 1.8, 2.5, 3.5)
OPPONENT = F.normalize(torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))  # grey, red-blue, green
SMOOTHER = 0.8  # a target below this share of the source's roughness counts as blurred


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """What the stream looks like: how to recolour by place, then by rows; `blur_sigma` in pixels."""

    recolouring: Recolouring
    row_recolouring: Recolouring
    grain: Grain
    blur_sigma: float


class Styler:
    """Knows the source's tones and its roughness at every blur level; turns target frames into styles, applies them.

    Remembers the stream's tones over some frames. uint8 source samples (N, H, W, 3) and labels (N, H, W).
    """

    def __init__(self, source_NHWC: Tensor, labels_NHW: Tensor, *, generator: torch.Generator) -> None:
        images_NCHW = to_opponent(source_NHWC)
        self._levels: list[Tensor] = []
        spreads = []
        for sigma in BLUR_SIGMAS:  # one at a time: a level of 64 samples at 256x512 takes 100 MB
            level_NCHW = blurred(images_NCHW, sigma)
            self._levels.append(roughness(level_NCHW[:, GREY]))
            spreads.append(level_NCHW.var(dim=(2, 3)).mean(dim=0))
        spreads_LC = torch.stack(spreads)
        self._contrast_LC = (spreads_LC / spreads_LC[0].clamp(min=1e-6)).clamp(min=1e-2).sqrt()
        self._usual = usual = UsualLayout(labels_NHW)
        step = usual.step
        self._gauge = GrainGauge((image_CHW[:, ::step], image_CHW[GREY, :, ::step]) for image_CHW in images_NCHW)
        self._source = reduce(Tones.plus, starmap(tones_of, _by_place(usual, images_NCHW, labels_NHW)))
        self._source_rows = SourceRows(_by_place(usual, images_NCHW, labels_NHW))
        self._stream: Tones | None = None
        self._stream_rows: Tones | None = None
        self._generator = generator

    def read(self, target_HWC: Tensor, labels_HW: Tensor) -> Style:
        """The style of the stream, of which this is the newest uint8 RGB frame, with its served labels (uint8)."""
        step = self._usual.step
        rows_CHW, columns_CHW = to_opponent(target_HWC[None, ::step])[0], to_opponent(target_HWC[None, :, ::step])[0]
        thinned_CHW, weight_PHW = rows_CHW[..., ::step], self._usual.weigh(labels_HW)
        self._stream = _faded_in(self._stream, tones_of(thinned_CHW, weight_PHW))
        self._stream_rows = _faded_in(self._stream_rows, row_tones(thinned_CHW, weight_PHW))
        grain = self._gauge.read(rows_CHW, columns_CHW[GREY])
        by_place = recolouring(self._source, self._stream, grain_C=grain.total_C)
        placed = self._source_rows.recoloured(by_place)
        return Style(
            recolouring=by_place,
            row_recolouring=recolouring(placed, self._stream_rows, grain_C=grain.total_C),
            grain=grain,
            blur_sigma=self._blur_sigma(roughness(rows_CHW[None, GREY])),
        )

    def apply(self, image_HWC: Tensor, label_HW: Tensor, style: Style, window: Window) -> Tensor:
        """The part of a uint8 RGB source sample within the window in that style, by the sample's labels; a copy."""
        part_1CHW = to_opponent(image_HWC[None, window.rows, window.columns])
        source_1CHW = blurred(part_1CHW, style.blur_sigma)
        lost_C = self._contrast_LC[BLUR_SIGMAS.index(style.blur_sigma)]
        column_label_HW = label_HW[:, window.columns]
        places = place(column_label_HW, horizon=self._usual.horizon).of_rows(window.rows)
        recoloured_CHW = style.recolouring.apply(source_1CHW[0], places, 1 / lost_C[:, None, None])
        recoloured_CHW = recolour_rows(recoloured_CHW, column_label_HW, style.row_recolouring, window.rows)
        recoloured_CHW += style.grain.draw((window.height, window.width), generator=self._generator)
        return to_rgb(recoloured_CHW[None])[0]

    def state(self) -> State:
        """The stream's tones."""
        if self._stream is None or self._stream_rows is None:
            return {"stream": None, "rows": None}
        return {"stream": self._stream.state(), "rows": self._stream_rows.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"stream": None, "rows": None}:
                self._stream = self._stream_rows = None
            case {"stream": dict(stream), "rows": dict(rows)}:
                self._stream, self._stream_rows = Tones.of_state(stream), Tones.of_state(rows)
            case _:
                raise ValueError(f"not the state of a styler: it has the keys {sorted(state)}")

    def _blur_sigma(self, seen_S: Tensor) -> float:
        """The blur level at which the source is as smooth as the target; 0 unless that is clearly smoother."""
        smoothness = self._relative(seen_S)
        if smoothness >= SMOOTHER:
            return 0.0
        errors = [abs(self._relative(level_S) - smoothness) for level_S in self._levels]
        return BLUR_SIGMAS[errors.index(min(errors))]

    def _relative(self, seen_S: Tensor) -> float:
        """Roughness against the sharp source's, in the middle band."""
        return float((seen_S / self._levels[0]).median())


def _by_place(usual: UsualLayout, images_NCHW: Tensor, labels_NHW: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each picture with the places of its pixels, made when it is asked for: of 64 samples they would take 110 MB."""
    for image_CHW, label_HW in zip(images_NCHW, labels_NHW, strict=True):
        yield usual.thinned(image_CHW), usual.crisp(label_HW)


def _faded_in(before: Tones | None, seen: Tones) -> Tones:
    return seen if before is None else before.plus(seen, decay=DECAY)


def to_opponent(image_BHWC: Tensor) -> Tensor:
    """uint8 RGB (B, H, W, 3) to float opponent colours (B, C, H, W): orthonormal, so noise stays uncorrelated."""
    return (image_BHWC.float() @ OPPONENT.T).permute(0, 3, 1, 2)


def to_rgb(opponent_BCHW: Tensor) -> Tensor:
    """Inverse of `to_opponent`, rounded and clamped to uint8."""
    return (opponent_BCHW.permute(0, 2, 3, 1) @ OPPONENT).round_().clamp_(0, 255).to(torch.uint8)


def roughness(grey_BHW: Tensor) -> Tensor:
    """E[(difference of neighbours)^2] / (2 variance) by band, from top to bottom, over the batch, (S,)."""
    variance_S = _band_mean(grey_BHW.square()) - _band_mean(grey_BHW).square()
    across_S = _band_mean((grey_BHW[..., 1:] - grey_BHW[..., :-1]).square())
    return (across_S / (2 * variance_S.clamp(min=1.0))).clamp(max=0.99)


def blurred(image_BCHW: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with reflected borders; the image itself for sigma 0."""
    if sigma == 0.0:
        return image_BCHW
    taps = 2 * max(1, round(3 * sigma)) + 1
    result: Tensor = gaussian_blur2d(image_BCHW, (taps, taps), (sigma, sigma))
    return result


def _band_mean(plane_BHW: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(plane_BHW[:, None], (NUM_BANDS, 1))[:, 0, :, 0].mean(dim=0)
