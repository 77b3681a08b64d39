"""Snapshots: copies of everything a run must remember, taken between two frames by the thread that learns.

    snapshots = Snapshots({"weights": weights, "replay": replay, "chance": chance}, every_s=10.0, clock=clock)
    if snapshots.is_due(): yield snapshots.take(cycle)

A copy costs that thread some milliseconds and prediction nothing; writing it is somebody else's business.
"""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from runtime.events import SnapshotTaken
from runtime.state import State, Stateful

CYCLE = "cycle"


class Chance:
    """Every random generator that learning draws from: its own by name, and torch's global one."""

    def __init__(self, generators: Mapping[str, torch.Generator]) -> None:
        self._generators = {"global": torch.default_generator, **generators}

    def state(self) -> State:
        """Where each generator stands."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state(self, state: State) -> None:
        """Draw on from `state`."""
        for name, generator in self._generators.items():
            generator.set_state(cast(Tensor, state[name]))


class Snapshots:
    """Owned by the thread that owns the cycle; `every_s` seconds lie between two that are due."""

    def __init__(self, parts: Mapping[str, Stateful], *, every_s: float, clock: Callable[[], float]) -> None:
        self._parts = dict(parts)
        self._every_s = every_s
        self._clock = clock
        self._taken_at_s = clock()

    def is_due(self) -> bool:
        return self._clock() - self._taken_at_s >= self._every_s

    def take(self, cycle: Stateful) -> SnapshotTaken:
        """The state of the parts and of the cycle, now."""
        self._taken_at_s = self._clock()
        state: State = {name: part.state() for name, part in self._with(cycle).items()}
        return SnapshotTaken(state, at_s=self._taken_at_s)

    def restore(self, cycle: Stateful, state: State) -> None:
        """Give parts and cycle what `take` took; ValueError where it does not fit them."""
        parts = self._with(cycle)
        if not parts.keys() <= state.keys():
            raise ValueError(f"the state has no {min(parts.keys() - state.keys())}")
        for name, part in parts.items():
            part.load_state(cast(State, state[name]))

    def _with(self, cycle: Stateful) -> dict[str, Stateful]:
        return {**self._parts, CYCLE: cycle}
