"""Adapters: small trainable modules in a frozen encoder, of a kind and in the stages a configuration names.

    attach_adapters(model, AdapterConfig("lora", stages=(3, 4)), generator=torch.Generator().manual_seed(0))

Whatever the kind, outputs do not change until something is learnt. Every module of theirs is named `adapter`; which
parameters learn is decided in `models.trainable`, not here.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models.adaptformer import attach_adaptformer
from models.blocks import linear_layers, stage_blocks
from models.encoder import ModelUnsuitable
from models.lora import attach_lora
from models.mit import NUM_STAGES
from models.segformer import SegmentationModel
from models.ssf import attach_ssf

MODULE_NAME = "adapter"


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Kind (one of ADAPTERS), stages (1 to 4) that get adapters, and the scale s on what an adapter adds.

    `reduction`: channels per channel of an AdaptFormer bottleneck. `rank`: of a LoRA update. The scale is 0.1 in
    AdaptFormer's paper.
    """

    kind: str = "adaptformer"
    stages: tuple[int, ...] = (1, 2, 3, 4)
    reduction: int = 4
    rank: int = 8
    scale: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in ADAPTERS:
            near = difflib.get_close_matches(self.kind, ADAPTERS, n=3, cutoff=0.4) or list(ADAPTERS)
            raise ValueError(f"adapters.kind must be a known one, got {self.kind!r}; nearest: {', '.join(near)}")
        if not self.stages or not set(self.stages) <= set(range(1, NUM_STAGES + 1)):
            raise ValueError(f"adapters.stages must be some of 1, 2, 3, 4, got {self.stages}")
        if self.reduction < 1 or self.rank < 1:
            raise ValueError(f"adapters.reduction and rank must be at least 1, got {self.reduction} and {self.rank}")
        if not self.scale > 0.0:
            raise ValueError(f"adapters.scale must be positive, got {self.scale}")


Attach = Callable[[nn.Module, AdapterConfig, torch.Generator | None], None]

ADAPTERS: dict[str, Attach] = {
    "adaptformer": lambda block, config, generator: attach_adaptformer(
        block, reduction=config.reduction, scale=config.scale, generator=generator
    ),
    "lora": lambda block, config, generator: attach_lora(
        block, rank=config.rank, scale=config.scale, generator=generator
    ),
    "ssf": lambda block, config, _: attach_ssf(block, scale=config.scale),
}


def attach_adapters(
    model: SegmentationModel, config: AdapterConfig, *, generator: torch.Generator | None = None
) -> SegmentationModel:
    """Give every block of the chosen stages adapters, on the model's device. Outputs do not change.

    Random weights draw from `generator` (a CPU generator; torch's global one if None). ValueError if some are there,
    ModelUnsuitable where the encoder has no place for them.
    """
    if has_adapters(model):
        raise ValueError(f"{model.name} has adapters already; attach them once, to a freshly loaded model")
    blocks = [block for stage in sorted(set(config.stages)) for block in stage_blocks(model.encoder, stage)]
    _require_places(model, config, blocks)
    for block in blocks:
        ADAPTERS[config.kind](block, config, generator)
    return model


def has_adapters(model: SegmentationModel) -> bool:
    return any(name.endswith(f".{MODULE_NAME}") for name, _ in model.named_modules())


def _require_places(model: SegmentationModel, config: AdapterConfig, blocks: Sequence[nn.Module]) -> None:
    if not blocks:
        stages = ", ".join(str(stage) for stage in sorted(set(config.stages)))
        raise ModelUnsuitable(
            f"{model.name}: stages {stages} have no transformer or ConvNeXt blocks for adapters; use --trainable norm"
            f"{', head' if list(model.head.parameters()) else ''} or full"
        )
    if config.kind != "adaptformer" and not all(linear_layers(block) for block in blocks):
        raise ModelUnsuitable(
            f"{model.name}: its blocks have no linear layers for --adapter {config.kind}; use --adapter adaptformer"
        )
