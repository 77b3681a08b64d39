"""Rows: what recolouring by place leaves, put right by the height in the picture at which it is.

Spray hangs over the road, mist lies low, headlights reach up to a height, and a camera's own veil knows nothing of
depth. So after places (`tones.py`) have their tones, whatever is not sky is recoloured once more, by bands of rows,
from what places made of the source to the stream. Rows alone would do for weather that knows rows only, and lose a
point and a half where a veil thickens with true depth; places alone lose over two the other way round
(benchmarks/results/ablation_synthetic.md).

What places make of the source changes with every frame, yet no sample is recoloured for it: sums by place and row are
kept, and an affine map of every place carries over to them.
"""

# N samples, H height, W width, C channels, P places, R bands of rows

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.adaptation.layout import SKY_CLASS, Places
from runtime.adaptation.tones import Recolouring, Tones

NUM_BANDS = 24
SKY = 0  # the place


class SourceRows:
    """Sums over the source's pixels by sample, place and band: their number, values and squares. Never changes."""

    def __init__(self, samples: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Pictures (C, H, W), each with how much of its pixels is at each place, (P, H, W); one at a time is held."""
        sums = [_sums(image_CHW, weight_PHW) for image_CHW, weight_PHW in samples]
        self._count_NPR, self._value_CNPR, self._square_CNPR = (
            torch.stack(parts, dim=-3) for parts in zip(*sums, strict=True)
        )

    def recoloured(self, change: Recolouring) -> Tones:
        """Tones (C, R) of what is not sky, as `change` makes the samples look."""
        from_C1P1, gain_C1P1, to_C1P1 = (
            values_CP[:, None, :, None] for values_CP in (change.from_CP, change.gain_CP, change.to_CP)
        )
        count_NPR, value_CNPR = self._count_NPR, self._value_CNPR
        # of d = gain (x - from) and its square, then of d + to and its square
        off_CNPR = gain_C1P1 * (value_CNPR - from_C1P1 * count_NPR)
        off_square_CNPR = gain_C1P1.square() * (
            self._square_CNPR - 2 * from_C1P1 * value_CNPR + from_C1P1.square() * count_NPR
        )
        seen_CNPR = off_CNPR + to_C1P1 * count_NPR
        square_CNPR = off_square_CNPR + 2 * to_C1P1 * off_CNPR + to_C1P1.square() * count_NPR
        return _tones(*(sums[..., SKY + 1 :, :].sum(-2) for sums in (count_NPR, seen_CNPR, square_CNPR)))


def row_tones(image_CHW: Tensor, weight_PHW: Tensor) -> Tones:
    """Tones (C, R) of what is not sky in one picture, of whose pixels so much is at each place."""
    count_PR, value_CPR, square_CPR = _sums(image_CHW, weight_PHW[SKY + 1 :].sum(0, keepdim=True))
    return _tones(count_PR, value_CPR, square_CPR)


def recolour_rows(image_CHW: Tensor, label_HW: Tensor, change: Recolouring, rows: slice) -> Tensor:
    """A recoloured copy of the rows of a picture that `image_CHW` shows, but for what is sky by `label_HW` (uint8, all
    rows of the same columns).
    """
    height = len(label_HW)
    position_H1 = ((torch.arange(height)[:, None] + 0.5) * NUM_BANDS / height - 0.5).clamp(0, NUM_BANDS - 1)
    near_H1 = position_H1.floor().clamp(max=NUM_BANDS - 2)
    bands = Places(near_H1.long(), near_H1.long() + 1, position_H1 - near_H1).of_rows(rows)
    recoloured_CHW = change.apply(image_CHW, bands, torch.ones(()))
    return torch.where(label_HW[rows] == SKY_CLASS, image_CHW, recoloured_CHW)


def _sums(image_CHW: Tensor, weight_PHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number (P, R), values and squares (C, P, R) of pixels by place and band."""
    weighted_CPHW = weight_PHW * image_CHW[:, None]
    return (
        _by_band(weight_PHW),
        _by_band(weighted_CPHW),
        _by_band(weighted_CPHW * image_CHW[:, None]),
    )


def _by_band(values_HW: Tensor) -> Tensor:
    """Sums over the pixels of each band, (..., R) of (..., H, W)."""
    sum_H = values_HW.sum(-1)
    height = sum_H.shape[-1]
    band_H = (torch.arange(height) * NUM_BANDS) // height
    return sum_H @ F.one_hot(band_H, NUM_BANDS).float()


def _tones(count_NR: Tensor, value_CNR: Tensor, square_CNR: Tensor) -> Tones:
    """Of sums by picture: variances within each, added up."""
    variance_CNR = (square_CNR - value_CNR.square() / count_NR.clamp(min=1.0)).clamp_(min=0.0)
    return Tones(count_NR.sum(0), value_CNR.sum(1), variance_CNR.sum(1))
