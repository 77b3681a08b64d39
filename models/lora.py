"""LoRA: low-rank updates of linear layers. Hu et al. 2022, arXiv 2106.09685, section 4.1.

    y = W x + b + s B A x,   A (R, I) random, B (O, R) zero at first

so an adapted network equals the source network until it has learned. While it learns, the update is a path of its own:
through a product s B A added to W, gradients would cost as much as those of W. To serve, it is folded into W
(`models.folding`) and costs nothing. The paper adapts queries and values; here every linear layer of a block has an
update, which Dettmers et al. 2023, arXiv 2305.14314, section 4, found to be needed to come near full fine-tuning.
"""

# P rows (all leading dimensions), I input channels, O output channels, R rank

import math

import torch
from torch import Tensor, nn

from models.blocks import linear_layers
from models.linear import Linear, linear


class LowRank(nn.Module):
    """The two factors, and the constant s (alpha / R in the paper)."""

    def __init__(
        self, in_channels: int, out_channels: int, *, rank: int, scale: float, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, in_channels))
        self.up = nn.Parameter(torch.zeros(out_channels, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5.0), generator=generator)

    def forward(self, x_PI: Tensor) -> Tensor:
        return linear(linear(x_PI, self.down), self.up * self.scale)


class LoraLinear(Linear):
    """A linear layer, its weights and their names kept, with a low-rank update beside it."""

    def __init__(
        self, layer: nn.Linear, *, rank: int, scale: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        rank = min(rank, layer.in_features, layer.out_features)
        adapter = LowRank(layer.in_features, layer.out_features, rank=rank, scale=scale, generator=generator)
        self.adapter = adapter.to(layer.weight.device)
        self.folded_OI: Tensor | None = None
        self.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        if self.folded_OI is not None:
            return linear(input, self.folded_OI, self.bias)
        update_PO: Tensor = self.adapter(input)
        return update_PO + linear(input, self.weight, self.bias)

    def fold(self) -> None:
        """W + s B A, in place from the second time on."""
        if self.folded_OI is None:
            self.folded_OI = torch.empty_like(self.weight)
        torch.addmm(self.weight, self.adapter.up, self.adapter.down, alpha=self.adapter.scale, out=self.folded_OI)


def attach_lora(block: nn.Module, *, rank: int, scale: float, generator: torch.Generator | None) -> None:
    """Put a low-rank update beside every linear layer of the block; rank at most the layer's own."""
    for name, layer in linear_layers(block):
        block.set_submodule(name, LoraLinear(layer, rank=rank, scale=scale, generator=generator))
