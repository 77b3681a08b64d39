"""AdaptFormer: bottleneck adapters beside the feed-forward network. Chen et al. 2022, arXiv 2205.13535, section 3.2.

An adapter runs in parallel to a block's feed-forward network: x + mlp(norm2 x) + s up(relu(down(norm2 x))). Its
up-projection starts at zero, so an adapted network equals the source network until it has learned. The nonlinearity
keeps it apart: it cannot be folded into other weights, and serving pays for it.

In blocks that are not ours the adapter is added to the feed-forward network's output by a hook, so that all modules
keep their names; a scale the block has for that output (LayerScale) then scales the adapter too.
"""

# B batch, H height, W width, C channels, D channels of the bottleneck

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import FEED_FORWARD, first_layer
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

    def add_beside(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """A forward hook of a feed-forward network on (..., C)."""
        update: Tensor = self(inputs[0])
        return output + update

    def add_beside_convolutions(self, _: nn.Module, inputs: tuple[Tensor, ...], output_BCHW: Tensor) -> Tensor:
        """The same for one of 1x1 convolutions, on (B, C, H, W)."""
        update_BHWC: Tensor = self(inputs[0].permute(0, 2, 3, 1))
        return output_BCHW + update_BHWC.permute(0, 3, 1, 2)


def attach_adaptformer(block: nn.Module, *, reduction: int, scale: float, generator: torch.Generator | None) -> None:
    """Give the block an adapter of a `reduction`-th of its channels, eight at least."""
    layer = first_layer(block)
    channels = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    adapter = Adapter(channels, width=max(MIN_WIDTH, channels // reduction), scale=scale, generator=generator)
    adapter.to(layer.weight.device).train(block.training)
    if isinstance(block, Block):
        block.adapter = adapter
        return
    feed_forward = dict(block.named_children())[FEED_FORWARD]
    feed_forward.add_module("adapter", adapter)
    is_convolution = isinstance(layer, nn.Conv2d)
    feed_forward.register_forward_hook(adapter.add_beside_convolutions if is_convolution else adapter.add_beside)
