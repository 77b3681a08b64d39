"""State: what a part must remember to go on, after the process that held it is gone, as if nothing had happened.

    state = part.state()        # in the thread that owns the part, between two frames
    other.load_state(state)     # a part built by the same configuration

Tensors, numbers, words and nesting, nothing else: no code and no object is ever stored.
"""

from typing import Any, Protocol

from torch import Tensor

State = dict[str, "Tensor | State | bool | int | float | str | list[Any] | None"]


class Stateful(Protocol):
    """A part whose state can be taken and given back."""

    def state(self) -> State:
        """A copy, safe to hand to another thread; numpy arrays are given as tensors."""
        ...

    def load_state(self, state: State) -> None:
        """Go on from `state`, which a part of the same kind and configuration gave."""
        ...
