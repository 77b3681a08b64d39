"""Effort: how much learning a run can afford, as a ladder of levels from everything to nothing.

The governor says where on the ladder a run stands; methods (crop) and learner (depth) do what the level says.
Each level keeps what the one before gave up and gives up more.
"""

from dataclasses import dataclass
from typing import Literal

Depth = Literal["all", "head"]


@dataclass(frozen=True, slots=True)
class Effort:
    """One level. `frames_per_step`: every so many frames that could be learned from one is; 0 none.

    `crop_share` in (0, 1]: share of each side of what a method would show the student by itself. `depth` "head": only
    the trainable part nearest the output learns (`models.trainable.outermost_parameters`), so that the encoder runs
    without a graph and the backward pass is short.
    """

    name: str
    frames_per_step: int
    crop_share: float = 1.0
    depth: Depth = "all"

    def __post_init__(self) -> None:
        if self.frames_per_step < 0:
            raise ValueError(f"effort.frames_per_step must be 0 or more, got {self.frames_per_step}; 0 never learns")
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"effort.crop_share must be in (0, 1], got {self.crop_share}; 1 crops nothing more")


# Time on steps per eligible frame over that at full effort where adapters and head learn: rate 0.50, crop 0.14,
# depth 0.05. One step costs 0.42 of a full one at crop, 0.30 at depth (B0 and B1, 256x512, one CPU core; `bench
# adaptation --efforts` measures it). Where only the head learns, depth is crop at half the rate.
LEVELS = (
    Effort("full", 1),
    Effort("rate", 2),
    Effort("crop", 3, crop_share=2 / 3),
    Effort("depth", 6, crop_share=2 / 3, depth="head"),
    Effort("off", 0, crop_share=2 / 3, depth="head"),
)
FULL = LEVELS[0]
