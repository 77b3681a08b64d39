"""Points of a picture: drawn at random, and maps read at them, at their own size or interpolated from a smaller one.

    points_BN = random_points(2, (128, 256), 2048, generator=generator)
    labels_BN1 = at_points(labels_BHW[:, None], points_BN)[:, 0]
    rows_BNC = interpolated_at(feature_BChw, points_BN, (128, 256))      # what F.interpolate would give there

A point is the number of a pixel, row by row. What is read has the values and gradients of reading the whole picture and
picking the points afterwards (bilinear, align_corners False).
"""

# B batch, N points, C channels, H W size of the picture, h w size of a smaller map

import torch
from torch import Tensor


def random_points(num_images: int, size_HW: tuple[int, int], num: int, *, generator: torch.Generator) -> Tensor:
    """int64 (B, N): `num` different pixels of each picture, all of them where it has no more; a CPU generator."""
    if num < 1:
        raise ValueError(f"points must be 1 or more, got {num}")
    num_pixels = size_HW[0] * size_HW[1]
    drawn = [torch.randperm(num_pixels, generator=generator)[:num] for _ in range(num_images)]
    return torch.stack(drawn)


def at_points(map_BCHW: Tensor, points_BN: Tensor) -> Tensor:
    """(B, C, N, 1): the map at the points, as a picture N high and one wide."""
    rows_BNC = _gathered(map_BCHW, points_BN)
    return rows_BNC.permute(0, 2, 1)[..., None]


def interpolated_at(map_BChw: Tensor, points_BN: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """(B, N, C): the map, brought to `size_HW`, at the points."""
    h, w = map_BChw.shape[-2:]
    if (h, w) == tuple(size_HW):
        return _gathered(map_BChw, points_BN)
    top_BN, bottom_BN, down_BN = _neighbours(points_BN // size_HW[1], size_HW[0], h)
    left_BN, right_BN, across_BN = _neighbours(points_BN % size_HW[1], size_HW[1], w)
    corners = (
        (top_BN, left_BN, (1 - down_BN) * (1 - across_BN)),
        (top_BN, right_BN, (1 - down_BN) * across_BN),
        (bottom_BN, left_BN, down_BN * (1 - across_BN)),
        (bottom_BN, right_BN, down_BN * across_BN),
    )
    weights_4BN = torch.stack([weight_BN for _, _, weight_BN in corners])
    pixels_B4N = torch.stack([row_BN * w + column_BN for row_BN, column_BN, _ in corners], dim=1)
    rows_B4NC = _gathered(map_BChw, pixels_B4N.flatten(1)).view(*pixels_B4N.shape, -1)
    return torch.einsum("abn,banc->bnc", weights_4BN.to(map_BChw.dtype), rows_B4NC)


def _gathered(map_BCHW: Tensor, points_BN: Tensor) -> Tensor:
    """(B, N, C): whole pixels are picked from channels-last memory, in one go for the batch."""
    B, C, H, W = map_BCHW.shape
    first_B1 = torch.arange(B, device=points_BN.device)[:, None] * (H * W)
    rows_PC = map_BCHW.permute(0, 2, 3, 1).reshape(-1, C)
    return rows_PC.index_select(0, (points_BN + first_B1).flatten()).view(B, -1, C)


def _neighbours(position_BN: Tensor, num_out: int, num_in: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two pixels between which an output pixel's centre lies, and its share of the way to the second."""
    centre_BN = ((position_BN + 0.5) * (num_in / num_out) - 0.5).clamp(min=0)
    before_BN = centre_BN.long()
    return before_BN, (before_BN + 1).clamp(max=num_in - 1), centre_BN - before_BN
