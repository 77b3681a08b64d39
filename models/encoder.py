"""What an encoder must offer to be part of a segmentation model, and the error for one that cannot do what is asked.

Four stages, shallow to deep; a network of one piece counts as one stage. Heads have a class of their own
(`models/head.py`).
"""

# B batch, C channels of a stage, H height, W width

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor, nn

from models.mit import NUM_STAGES


class ModelUnsuitable(ValueError):
    """A model is not to be had, or cannot do what is asked of it. The message is one line: what, why, what to do."""


class Encoder(Protocol):
    """Image to feature maps. `channels` are those of the maps.

    `is_restartable`: the map of a stage is all the next one needs, so that `run_stages` may begin at any stage. Plain
    ViTs are not: their class and register tokens are in no map.
    """

    @property
    def channels(self) -> Sequence[int]: ...

    @property
    def is_restartable(self) -> bool: ...

    def __call__(self, x_B3HW: Tensor) -> list[Tensor]: ...

    def run_stages(self, x_BCHW: Tensor, *, start: int = 0, stop: int = NUM_STAGES) -> list[Tensor]: ...

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """The size that images of this one are stretched to, for encoders that do not take any size."""
        ...

    def stage_of(self, name: str, /) -> int:
        """The stage, from 0, that a tensor or module of this name in the encoder belongs to."""
        ...

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


def of_whole_images(map_VCHW: Tensor, num_images: int) -> Tensor:
    """The maps (B, C, H, W) of images as a whole, where an encoder gives more: parts of each, behind it (HRDA)."""
    return map_VCHW.view(num_images, -1, *map_VCHW.shape[1:])[:, 0]
