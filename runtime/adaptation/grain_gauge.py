"""How much grain a picture has and how it lies, read in the tiles where the picture itself is flattest.

Half the mean squared difference of pixels k apart is the variance of what changes within k pixels: of white noise all
of it whatever k is, of streaks a share that grows fast with k across them and slowly along them. Scenery adds to it,
but little in sky and road. So the lowest fifth of a picture's tiles tells the grain, whatever stands in the others
(noise estimation from homogeneous blocks: Lee and Hoppel 1989; Amer and Dubois 2005), once what the source has there is
taken off, as pale as the stream has become. Sums over whole bands are no measure: bare trees before the sky read like
rain (benchmarks/results/ablation_synthetic.md).
"""

# H height, W width, C channels (opponent colours: grey first), T tiles

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from runtime.adaptation.grain import LEAST_STREAK, Grain

GREY = 0
TILES = (16, 24)
FLATTEST = 0.2  # share of the tiles
FAR = 4  # pixels across; streaks are no longer alike
MAX_STREAK = 31  # pixels
LEAST_DEVIATION = 6.0  # of streaks, in levels of opponent grey; differing scenery comes to 5, rain of 25 mm/h to 9


class Reading(NamedTuple):
    """Of one picture: its variance (C,); half the squared differences in its flattest tiles, of neighbours (C,), of
    grey pixels FAR apart and of grey pixels one below another, () each.
    """

    variance_C: Tensor
    near_C: Tensor
    far: Tensor
    down: Tensor


class GrainGauge:
    """Knows what the flattest tiles of the source's pictures hold. Large pictures are looked at in some of their rows
    (C, H, W) and, grey alone, in some of their columns (H, W).
    """

    def __init__(self, source: Iterable[tuple[Tensor, Tensor]]) -> None:
        readings = [_reading(rows_CHW, columns_HW) for rows_CHW, columns_HW in source]
        self._source = Reading(*(torch.stack(values).mean(0) for values in zip(*readings, strict=True)))

    def read(self, rows_CHW: Tensor, columns_HW: Tensor) -> Grain:
        """The grain of a picture that is not in the source."""
        seen, source = _reading(rows_CHW, columns_HW), self._source
        pale_C = (seen.variance_C / source.variance_C.clamp(min=1e-3)).clamp_(max=1.0)
        near_C = (seen.near_C - pale_C * source.near_C).clamp_(min=0.0)
        far, down = (float(now - pale_C[GREY] * then) for now, then in zip(seen[2:], source[2:], strict=True))
        if far < max(LEAST_DEVIATION**2, LEAST_STREAK * down):
            return Grain(near_C, streak_pixels=1, breadth=1.0)
        breadth = min(2.0, max(1.0, far / max(float(near_C[GREY]), 1e-3)))
        near_C[GREY] = far
        return Grain(near_C, streak_pixels=min(MAX_STREAK, round(far / max(down, 1e-3))), breadth=breadth)


def _reading(rows_CHW: Tensor, columns_HW: Tensor) -> Reading:
    near_C = _in_flattest_tiles(rows_CHW[..., 1:] - rows_CHW[..., :-1])
    far_1 = _in_flattest_tiles(rows_CHW[:1, :, FAR:] - rows_CHW[:1, :, :-FAR])
    down_1 = _in_flattest_tiles((columns_HW[1:] - columns_HW[:-1])[None])
    return Reading(rows_CHW.var(dim=(1, 2)), near_C, far_1[0], down_1[0])


def _in_flattest_tiles(difference_CHW: Tensor) -> Tensor:
    """Half the mean square, (C,)."""
    tiles_CT = F.adaptive_avg_pool2d(difference_CHW.square()[None], TILES)[0].flatten(1)
    return tiles_CT.quantile(FLATTEST, dim=1) / 2
