"""Networks of timm as encoders: four feature maps, shallow to deep, whatever the architecture.

A pyramid (Swin, ConvNeXt, PVTv2, ResNet, ...) is cut after each of the layers its features are read from, so that every
stage can be run by itself, be frozen, kept, or given adapters. A plain ViT has one grid for all its blocks: its maps
are the normalised outputs of four blocks, a quarter of the depth apart; as its class token is in none of them it runs
as a whole. timm itself is not imported here (`models.timm_models` is who builds these).

    encoder = StagedEncoder(Entry(mean, std, multiple=4), stages, channels=..., strides=...)
    features = encoder(x_B3HW)                    # four (B, C_i, h_i, w_i)
"""

# B batch, C channels of a stage, H height, W width, h w of a map

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.encoder import ModelUnsuitable
from models.mit import NUM_STAGES
from models.renormalise import renormalise


class Entry(nn.Module):
    """The image as the network was trained to see it: its own mean and deviation, and a size it can divide.

    A side that is no multiple of `multiple` (the patch size) is stretched to the next one, so that the maps cover
    exactly the image and stay aligned with it; padding would shift them. Where `fixed_HW` is given the network takes
    that size alone.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        multiple: int = 1,
        fixed_HW: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.multiple = multiple
        self.fixed_HW = fixed_HW
        self.statistics = renormalise(mean, std)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        y_B3HW: Tensor = self.statistics(x_B3HW)
        size_HW = self.fitted((y_B3HW.shape[2], y_B3HW.shape[3]))
        if size_HW == tuple(y_B3HW.shape[2:]):
            return y_B3HW
        return F.interpolate(y_B3HW, size=size_HW, mode="bilinear", align_corners=False)

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """The size the network is shown for an image of this one."""
        if self.fixed_HW is not None:
            return self.fixed_HW
        height, width = (-(-side // self.multiple) * self.multiple for side in size_HW)
        return height, width


class Stage(nn.Sequential):
    """Layers of one stage under their own names; reads and gives (B, C, H, W), whatever its layers do inside."""

    def __init__(self, layers: Mapping[str, nn.Module], *, reads_nhwc: bool, gives_nhwc: bool) -> None:
        super().__init__(OrderedDict(layers))
        self.reads_nhwc = reads_nhwc
        self.gives_nhwc = gives_nhwc

    def forward(self, input: Tensor) -> Tensor:
        x = input.permute(0, 2, 3, 1) if self.reads_nhwc else input
        for layer in self:
            x = layer(x)
        return x.permute(0, 3, 1, 2) if self.gives_nhwc else x


class StagedEncoder(nn.Module):
    """Four stages one after the other."""

    is_restartable = True

    def __init__(
        self, entry: Entry, stages: Sequence[Stage], *, channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.entry = entry
        self.stages = nn.ModuleList(stages)

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        return self.run_stages(x_B3HW)

    def run_stages(self, x_BCHW: Tensor, *, start: int = 0, stop: int = NUM_STAGES) -> list[Tensor]:
        """Outputs of stages `start` .. `stop - 1`, given the image (start 0) or the output of stage `start - 1`."""
        if start == 0:
            x_BCHW = self.entry(x_BCHW)
        features = []
        for index in range(start, stop):
            x_BCHW = self.stages[index](x_BCHW)
            features.append(x_BCHW)
        return features

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """The size the network is shown for an image of this one."""
        return self.entry.fitted(size_HW)

    def stage_of(self, name: str) -> int:
        """By the name's number; what comes before the stages belongs to the first."""
        found = re.match(r"stages\.(\d+)", name)
        return int(found[1]) if found else 0


class WholeEncoder(nn.Module):
    """A network that gives four maps and can only be run from the image on.

    `taps` are the names, in the network, of the modules the maps are read from ("blocks.2", "blocks.5", ...): they tell
    which stage a block belongs to. What comes before the blocks belongs to the first stage, the final norm to the last.
    """

    is_restartable = False

    def __init__(
        self,
        entry: Entry,
        body: nn.Module,
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        taps: Sequence[str],
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.entry = entry
        self.body = body
        self._container = taps[0].rpartition(".")[0]
        numbers = [tap.rpartition(".")[2] for tap in taps]
        self._lasts = [int(number) for number in numbers] if all(number.isdecimal() for number in numbers) else []

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        return list(self.body(self.entry(x_B3HW)))

    def run_stages(self, x_BCHW: Tensor, *, start: int = 0, stop: int = NUM_STAGES) -> list[Tensor]:
        """The first `stop` maps. From a later stage than the first it can give nothing but the nothing after the last;
        ModelUnsuitable.
        """
        if start == NUM_STAGES:
            return []
        if start > 0:
            raise ModelUnsuitable("the stages of this encoder cannot be run by themselves; run it from the image on")
        return self(x_BCHW)[:stop] if stop > 0 else []

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """The size the network is shown for an image of this one."""
        return self.entry.fitted(size_HW)

    def stage_of(self, name: str) -> int:
        """The first stage whose last block does not come before the one named."""
        found = re.search(rf"(?:^|\.){re.escape(self._container)}\.(\d+)(?:\.|$)", name) if self._lasts else None
        if found:
            return next((i for i, last in enumerate(self._lasts) if int(found[1]) <= last), NUM_STAGES - 1)
        return NUM_STAGES - 1 if re.search(r"(?:^|\.)norm(?:\.|$)", name) else 0


class IntermediateLayers(nn.Module):
    """Four blocks of a plain ViT as (B, C, h, w), each through the final norm, as DINOv2 feeds its dense heads."""

    def __init__(self, model: nn.Module, indices: Sequence[int]) -> None:
        super().__init__()
        self.indices = list(indices)
        self.model: Any = model  # timm's networks have no common type that knows forward_intermediates

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.model.forward_intermediates(
            x_B3HW, indices=self.indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps
