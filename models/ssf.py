"""SSF: a scale and a shift for every channel. Lian et al. 2022, arXiv 2210.08823, section 3.2.

    y' = gamma y + beta after every linear layer and norm of a block

To serve, gamma and beta are folded into the layer's own weights (`models.folding`) and cost nothing. Here they are
kept as gamma = 1 + s g and beta = s h with g and h zero at first, so an adapted network equals the source network until
it has learned, and weight decay pulls it back there; the released code draws gamma about 1 and beta about 0 with a
deviation of 0.02. A domain's learnt state is a few kilobytes.
"""

# P rows (all leading dimensions), I input channels, C output channels

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import linear_layers
from models.linear import Linear, linear


class ScaleShift(nn.Module):
    """g and h (`offset_C`, `shift_C`), and the constant s."""

    def __init__(self, channels: int, *, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.offset_C = nn.Parameter(torch.zeros(channels))
        self.shift_C = nn.Parameter(torch.zeros(channels))

    def forward(self, y_PC: Tensor) -> Tensor:
        return torch.addcmul(self.beta(), y_PC, self.gamma())

    def gamma(self) -> Tensor:
        return 1.0 + self.scale * self.offset_C

    def beta(self) -> Tensor:
        return self.scale * self.shift_C


class SsfLinear(Linear):
    """A linear layer, its weights and their names kept, with scale and shift after it."""

    def __init__(self, layer: nn.Linear, *, scale: float) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.adapter = ScaleShift(layer.out_features, scale=scale).to(layer.weight.device)
        self.folded: tuple[Tensor, Tensor] | None = None
        self.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:
        if self.folded is not None:
            return linear(input, *self.folded)
        y_PC: Tensor = self.adapter(linear(input, self.weight, self.bias))
        return y_PC

    def fold(self) -> None:
        """gamma W and gamma b + beta, in place from the second time on."""
        if self.folded is None:
            self.folded = torch.empty_like(self.weight), torch.empty_like(self.weight[:, 0])
        gamma_C, beta_C = self.adapter.gamma(), self.adapter.beta()
        torch.mul(self.weight, gamma_C[:, None], out=self.folded[0])
        self.folded[1].copy_(beta_C if self.bias is None else torch.addcmul(beta_C, self.bias, gamma_C))


class SsfNorm(nn.LayerNorm):
    """A norm, its weights and their names kept, with scale and shift after it: taken into its own at every pass."""

    def __init__(self, norm: nn.LayerNorm, *, scale: float) -> None:
        super().__init__(norm.normalized_shape, eps=norm.eps, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self.adapter = ScaleShift(norm.normalized_shape[0], scale=scale).to(norm.weight.device)
        self.folded: tuple[Tensor, Tensor] | None = None
        self.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        weight_C, bias_C = self._taken_in() if self.folded is None else self.folded
        return F.layer_norm(input, self.normalized_shape, weight_C, bias_C, self.eps)

    def fold(self) -> None:
        """gamma w and gamma b + beta, in place from the second time on."""
        if self.folded is None:
            self.folded = torch.empty_like(self.weight), torch.empty_like(self.bias)
        for folded_C, new_C in zip(self.folded, self._taken_in(), strict=True):
            folded_C.copy_(new_C)

    def _taken_in(self) -> tuple[Tensor, Tensor]:
        gamma_C, beta_C = self.adapter.gamma(), self.adapter.beta()
        return self.weight * gamma_C, torch.addcmul(beta_C, self.bias, gamma_C)


def attach_ssf(block: nn.Module, *, scale: float) -> None:
    """Put scale and shift after every linear layer and norm of the block."""
    norms = [(name, layer) for name, layer in block.named_modules() if isinstance(layer, nn.LayerNorm)]
    for name, layer in linear_layers(block):
        block.set_submodule(name, SsfLinear(layer, scale=scale))
    for name, norm in norms:
        if norm.elementwise_affine and norm.bias is not None:
            block.set_submodule(name, SsfNorm(norm, scale=scale))
