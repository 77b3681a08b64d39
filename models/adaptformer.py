"""AdaptFormer: bottleneck adapters beside the feed-forward network. Chen et al. 2022, arXiv 2205.13535, section 3.2.

An adapter runs in parallel to a block's feed-forward network: x + mlp(norm2 x) + s up(relu(down(norm2 x))). Its
up-projection starts at zero, so an adapted network equals the source network until it has learned. The nonlinearity
keeps it apart: it cannot be folded into other weights, and serving pays for it.
"""

# B batch, H height, W width, C channels, D channels of the bottleneck

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.linear import Linear, linear
from models.mit import Block

MIN_WIDTH = 8


class Adapter(nn.Module):
    """Down-projection, ReLU, up-projection (zero at first), times a constant."""

    def __init__(self, channels: int, *, width: int, scale: float, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.down = Linear(channels, width)
        self.up = Linear(width, channels)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5.0), generator=generator)
        for zeroed in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zeroed)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        h_BHWD = F.relu_(self.down(x_BHWC))
        return linear(h_BHWD, self.up.weight * self.scale, self.up.bias * self.scale)


def attach_adaptformer(block: Block, *, reduction: int, scale: float, generator: torch.Generator | None) -> None:
    """Give the block an adapter of a `reduction`-th of its channels, eight at least."""
    channels = block.norm2.normalized_shape[0]
    adapter = Adapter(channels, width=max(MIN_WIDTH, channels // reduction), scale=scale, generator=generator)
    block.adapter = adapter.to(block.norm2.weight.device).train(block.training)
