"""Layout: where in the scene a pixel is, read off class labels alone.

Weather acts along depth, and a street has its depth written in its labels: ground lies on a plane, so a ground pixel's
distance follows from its row below the horizon; what stands on the ground is as far away as the point below it where it
touches (the stixel assumption: Badino, Franke, Pfeiffer 2009, "The stixel world"); the sky is beyond everything. So
each pixel gets a place: a kind (sky, ground, upright) and a position between near and far.

    places = place(label_HW, horizon=horizon(labels_NHW))
"""

# N samples, H height, W width, P places

from dataclasses import dataclass

import torch
from torch import Tensor

GROUND_CLASSES = (0, 1, 9)  # road, sidewalk, terrain of the Cityscapes train ids
SKY_CLASS = 10
NUM_DEPTHS = 6
NUM_PLACES = 1 + 2 * NUM_DEPTHS  # sky; ground from near to far; upright from near to far
NUM_KINDS = 3
KINDS = torch.tensor([0] + NUM_DEPTHS * [1] + NUM_DEPTHS * [2])  # of places: sky, ground, upright
HORIZON_SHARE = 0.1  # of a row's pixels, over many samples, that must be ground for it to lie below the horizon
LEAST_ROWS = 2  # below the horizon: nearer to it, depth is too steep to tell


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Between which two places a pixel lies, int64 (H, W) each, and how far it is towards the second, in [0, 1]."""

    first_HW: Tensor
    second_HW: Tensor
    share_HW: Tensor

    def crisp(self) -> Tensor:
        """The nearer of the two places, int64 (H, W)."""
        return torch.where(self.share_HW < 0.5, self.first_HW, self.second_HW)

    def of_rows(self, rows: slice) -> "Places":
        """The same for some rows."""
        return Places(self.first_HW[rows], self.second_HW[rows], self.share_HW[rows])

    def spread(self, values_CP: Tensor) -> Tensor:
        """Values of places as a value per pixel (C, H, W), interpolated along depth so that no edge shows."""
        return values_CP[:, self.first_HW].lerp(values_CP[:, self.second_HW], self.share_HW)


def horizon(labels_NHW: Tensor) -> int:
    """The first row, from the top, in which ground is common over uint8 labels; the middle row where it never is."""
    share_H = torch.isin(labels_NHW, torch.tensor(GROUND_CLASSES, dtype=torch.uint8)).float().mean(dim=(0, 2))
    rows = (share_H > HORIZON_SHARE).nonzero()
    height = len(share_H)
    return min(int(rows[0]) if len(rows) else height // 2, height - 1 - 2 * LEAST_ROWS)


def place(label_HW: Tensor, *, horizon: int) -> Places:
    """Places of the pixels of one uint8 label; whatever is neither ground nor sky counts as upright.

    A pixel's place depends on its column alone.
    """
    height, width = label_HW.shape
    is_ground_HW = torch.isin(label_HW, torch.tensor(GROUND_CLASSES, dtype=torch.uint8))
    row_HW = torch.arange(height)[:, None].expand(height, width)
    ground_row_HW = torch.where(is_ground_HW, row_HW, height - 1)  # no ground below: cut off by the lower edge
    contact_HW = ground_row_HW.flip(0).cummin(dim=0).values.flip(0)
    rows_below_HW = (contact_HW - horizon).clamp(min=LEAST_ROWS).float()
    depth_H = torch.log2((height - 1 - horizon) / rows_below_HW)  # 0 at the lower edge; doubling of distance: 1
    farthest = torch.log2(torch.tensor((height - 1 - horizon) / LEAST_ROWS))
    position_HW = (depth_H / farthest).clamp_(0.0, 1.0) * (NUM_DEPTHS - 1)
    near_HW = position_HW.floor().clamp_(max=NUM_DEPTHS - 2)
    first_HW = near_HW.long() + torch.where(is_ground_HW, 1, 1 + NUM_DEPTHS)
    is_sky_HW = label_HW == SKY_CLASS
    return Places(
        first_HW=first_HW.masked_fill(is_sky_HW, 0),
        second_HW=(first_HW + 1).masked_fill(is_sky_HW, 0),
        share_HW=(position_HW - near_HW).masked_fill(is_sky_HW, 0.0),
    )
