"""The adaptation methods there are, by name, in one dict.

Add your own by writing a class with `loss(student, target)` (see `method.py`) and naming it here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from replay.buffer import ReplayBuffer
from runtime.adaptation.dacs import DacsSelfTraining
from runtime.adaptation.method import Method
from runtime.adaptation.styled import StyledReplay


@dataclass(frozen=True, slots=True)
class Entry:
    """`build` is None for a method that never learns."""

    summary: str
    build: Callable[[ReplayBuffer, torch.device, torch.Generator], Method] | None


METHODS: dict[str, Entry] = {
    "styled": Entry(
        "labelled source samples styled like the frame just seen, true labels (default; replays source)",
        lambda replay, device, generator: StyledReplay(replay, device=device, generator=generator),
    ),
    "dacs": Entry(
        "ClassMix of source samples onto pseudo-labelled frames (DACS, WACV 2021; replays source)",
        lambda replay, device, generator: DacsSelfTraining(replay, device=device, generator=generator),
    ),
    "frozen": Entry("never learns: the source model as it is", None),
}
