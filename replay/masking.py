"""Block masks: pictures of which most is hidden, in squares (MIC, Hoyer et al., CVPR 2023, arXiv 2212.01322).

    kept_B1HW = block_mask(1, (512, 1024), block=block_size((512, 1024)), ratio=0.7, generator=generator)
    logits_BKHW = model(normalise(images_BHWC) * kept_B1HW)       # hidden pixels show the mean colour
"""

# B batch, H height, W width

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS_PER_SIDE = 16  # 64 pixels of a side of 1024, 32 of one of 512, as published
LEAST_BLOCK = 4  # pixels: the stride of the logits


def block_size(size_HW: tuple[int, int]) -> int:
    """Side of a block in pixels: a sixteenth of the picture's shorter side."""
    return max(LEAST_BLOCK, round(min(size_HW) / BLOCKS_PER_SIDE))


def block_mask(
    num: int, size_HW: tuple[int, int], *, block: int, ratio: float, generator: torch.Generator
) -> Tensor:
    """float32 (B, 1, H, W): 1 where a picture shows, 0 where it is hidden.

    Every block is hidden by itself with probability `ratio` in [0, 1]. ValueError for ratios and blocks that are none.
    """
    if not 0.0 <= ratio <= 1.0 or block < 1:
        raise ValueError(f"masking needs a ratio in [0, 1] and blocks of a pixel or more, got {ratio} and {block}")
    rows, columns = (max(1, round(side / block)) for side in size_HW)
    kept_B1hw = (torch.rand((num, 1, rows, columns), generator=generator) >= ratio).float()
    return F.interpolate(kept_B1hw, size=size_HW, mode="nearest")
