"""Bottleneck adapters in the encoder: AdaptFormer, Chen et al. 2022, arXiv 2205.13535, section 3.2.

An adapter runs in parallel to a block's feed-forward network: x + mlp(norm2 x) + s up(relu(down(norm2 x))). Its
up-projection starts at zero, so an adapted network equals the source network until it has learned. Which parameters
learn is decided in `models.trainable`, not here.

    attach_adapters(model, AdapterConfig(stages=(3, 4)), generator=torch.Generator().manual_seed(0))
"""

# B batch, H height, W width, C channels, D channels of the bottleneck

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.linear import Linear, linear
from models.mit import NUM_STAGES, Block, MixTransformer
from models.segformer import SegmentationModel

MIN_WIDTH = 8


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Stages (1 to 4) that get adapters, channels per bottleneck channel, and the scale s (0.1 in the paper)."""

    stages: tuple[int, ...] = (1, 2, 3, 4)
    reduction: int = 4
    scale: float = 0.1

    def __post_init__(self) -> None:
        if not self.stages or not set(self.stages) <= set(range(1, NUM_STAGES + 1)):
            raise ValueError(f"adapters.stages must be some of 1, 2, 3, 4, got {self.stages}")
        if self.reduction < 1:
            raise ValueError(f"adapters.reduction must be at least 1, got {self.reduction}")
        if not self.scale > 0.0:
            raise ValueError(f"adapters.scale must be positive, got {self.scale}")


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


def attach_adapters(
    model: SegmentationModel, config: AdapterConfig, *, generator: torch.Generator | None = None
) -> SegmentationModel:
    """Give every block of the chosen stages an adapter, on the model's device. Outputs do not change.

    Down-projections draw from `generator` (a CPU generator; torch's global one if None). ValueError if some are there.
    """
    if has_adapters(model):
        raise ValueError(f"{model.name} has adapters already; attach them once, to a freshly loaded model")
    for stage in sorted(set(config.stages)):
        for block in stage_blocks(model.encoder, stage):
            channels = block.norm2.normalized_shape[0]
            width = max(MIN_WIDTH, channels // config.reduction)
            adapter = Adapter(channels, width=width, scale=config.scale, generator=generator)
            block.adapter = adapter.to(block.norm2.weight.device).train(block.training)
    return model


def has_adapters(model: SegmentationModel) -> bool:
    return any(isinstance(module, Adapter) for module in model.modules())


def stage_blocks(encoder: MixTransformer, stage: int) -> list[Block]:
    """Blocks of stage 1 to 4."""
    return [module for module in encoder.stages[stage - 1].modules() if isinstance(module, Block)]
