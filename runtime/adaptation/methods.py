"""The adaptation methods there are, by name, in one dict.

Add your own by writing a class with `loss(student, target)` (see `method.py`) and naming it here.
"""

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


METHODS: dict[str, Entry] = {
    "styled": Entry(
        "labelled source samples styled like the frame just seen, true labels (default)",
        lambda given: StyledReplay(given.replay, device=given.device, generator=given.generator),
    ),
    "dacs": Entry(
        "ClassMix of source samples onto pseudo-labelled frames (DACS, WACV 2021)",
        lambda given: DacsSelfTraining(given.replay, device=given.device, generator=given.generator),
    ),
    "frozen": Entry("never learns: the source model as it is", None, track="none"),
}
