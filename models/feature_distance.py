"""Distance of features of things: how far a learning encoder strays from a fixed one where the label shows objects.

DAFormer, Hoyer et al. 2022, arXiv 2111.14887, eq. 5-7: the Euclidean distance over channels, averaged over the cells of
the deepest feature map in which one thing class has at least three quarters of the label's pixels.
"""

# B batch, K classes, C channels, h w height and width of the feature map, H W of the labels

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import IGNORE_LABEL

THINGS = (6, 7, 11, 12, 13, 14, 15, 16, 17, 18)  # Cityscapes train ids: light, sign, and everything that moves
MIN_SHARE = 0.75


def thing_cells(
    labels_BHW: Tensor,
    size_hw: tuple[int, int],
    *,
    num_classes: int,
    things: Sequence[int] = THINGS,
    min_share: float = MIN_SHARE,
) -> Tensor:
    """Which cells (B, h, w) show one class of `things` on at least `min_share` of their pixels; ignored pixels count
    as another class.
    """
    labels_BHW = torch.where(labels_BHW == IGNORE_LABEL, num_classes, labels_BHW.long())
    shares_BKhw = F.adaptive_avg_pool2d(F.one_hot(labels_BHW, num_classes + 1).permute(0, 3, 1, 2).float(), size_hw)
    share_Bhw, class_Bhw = shares_BKhw.max(dim=1)
    wanted = torch.tensor([thing for thing in things if thing < num_classes], device=labels_BHW.device)
    return (share_Bhw >= min_share) & torch.isin(class_Bhw, wanted)


def feature_distance(features_BChw: Tensor, fixed_BChw: Tensor, cells_Bhw: Tensor) -> Tensor:
    """Mean over the chosen cells of the channels' Euclidean distance; 0 with a gradient of 0 where none is chosen."""
    square_Bhw = (features_BChw - fixed_BChw).square().sum(dim=1)
    distance_Bhw = torch.where(square_Bhw > 0, square_Bhw, 1.0).sqrt() * (square_Bhw > 0)  # sqrt has no slope at 0
    return (distance_Bhw * cells_Bhw).sum() / cells_Bhw.sum().clamp(min=1)
