"""The adaptation methods there are, by name, in one dict.

Add your own by writing a class with `loss(student, target)` (see `method.py`) and naming it here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from runtime.adaptation.dacs import DacsSelfTraining
from runtime.adaptation.method import Materials, Method
from runtime.adaptation.styled import StyledReplay
from runtime.recipes import Recipe

Track = Literal["none", "source-free", "source-replay", "oracle"]


@dataclass(frozen=True, slots=True)
class Entry:
    """`build` is None for a method that never learns. `track` says what it needs besides the stream: scores of
    different tracks are not comparable.
    """

    summary: str
    build: Callable[[Materials], Method] | None
    track: Track = "source-replay"
    recipe: Recipe = field(default_factory=Recipe)


DACS_RECIPE = Recipe(
    trainable="full",
    learning_rate=6e-5,
    head_rate=10.0,
    weight_decay=0.01,
    decays_norms=False,
    max_gradient_norm=math.inf,
    ema_decay=0.0,
    policy="bare",
)

METHODS: dict[str, Entry] = {
    "styled": Entry(
        "labelled source samples styled like the frame just seen, true labels (default)",
        lambda given: StyledReplay(given.replay, device=given.device, generator=given.generator),
    ),
    "dacs": Entry(
        "ClassMix of source samples onto pseudo-labelled frames, all weights (DACS, WACV 2021)",
        DacsSelfTraining,
        recipe=DACS_RECIPE,
    ),
    "frozen": Entry("never learns: the source model as it is", None, track="none"),
}
