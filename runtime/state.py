"""State: what a part must remember to go on, after the process that held it is gone, as if nothing had happened.

    state = part.state()        # in the thread that owns the part, between two frames
    other.load_state(state)     # a part built by the same configuration

Tensors, numbers, words and nesting, nothing else: no code and no object is ever stored. On its way to disk a state is
split into named tensors and JSON (`flatten`), and joined again (`unflatten`); names are paths, `learner/average/head`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

State = dict[str, "Tensor | State | bool | int | float | str | list[Any] | None"]

SEPARATOR = "/"
SPECIAL_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # JSON has no words for them
SPECIAL = "$float"


@runtime_checkable
class Stateful(Protocol):
    """A part whose state can be taken and given back."""

    def state(self) -> State:
        """A copy, safe to hand to another thread; numpy arrays are given as tensors."""
        ...

    def load_state(self, state: State) -> None:
        """Go on from `state`, which a part of the same kind and configuration gave."""
        ...


def state_of(part: object) -> State:
    """The part's state; empty for one that keeps none."""
    return part.state() if isinstance(part, Stateful) else {}


def restore(part: object, state: State) -> None:
    """Give back what `state_of` took."""
    if isinstance(part, Stateful) and state:
        part.load_state(state)


def kept(tensor: Tensor) -> Tensor:
    """A copy in host memory, for states: whoever holds it next need not know the device or its streams."""
    return tensor.detach().to("cpu", copy=True)


def kept_array(array: np.ndarray | None) -> Tensor | None:
    """The same for an array, as a tensor; None stays None."""
    return None if array is None else torch.from_numpy(array.copy())


def array_again(tensor: Tensor | None) -> np.ndarray | None:
    """What `kept_array` kept."""
    return None if tensor is None else tensor.numpy()


def flatten(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
    """Tensors by path, and the rest as strict JSON. Tuples come back as lists.

    Raises TypeError for a value that is none of a state's, ValueError for a key with a slash or dollar sign in it.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, json.dumps(_split(state, "", tensors), allow_nan=False)


def unflatten(tensors: Mapping[str, Tensor], text: str) -> State:
    """The state that `flatten` split. Raises ValueError where the two do not belong together."""
    root = json.loads(text)
    if not isinstance(root, dict):
        raise ValueError("the JSON of a state must be an object")
    state: State = _with_floats(root)
    for path, tensor in tensors.items():
        _place(state, path.split(SEPARATOR), tensor)
    return state


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:  # Any: nesting of what a state may hold
    match value:
        case Tensor():
            tensors[path] = value
            return None
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {SPECIAL: str(value)}
        case Mapping():
            prefix = path + SEPARATOR if path else ""
            parts = {_checked(key): _split(item, prefix + str(key), tensors) for key, item in value.items()}
            return {key: part for key, part in parts.items() if not isinstance(value[key], Tensor)}
        case list() | tuple():
            return [_split(item, f"{path}{SEPARATOR}{number}", tensors) for number, item in enumerate(value)]
    raise TypeError(f"{path}: a state cannot hold {type(value).__name__}; give tensors, scalars, lists and mappings")


def _checked(key: object) -> str:
    if not isinstance(key, str) or not key or SEPARATOR in key or "$" in key:
        raise ValueError(f"{key!r} cannot be a key of a state: expected a word without / and $")
    return key


def _with_floats(value: Any) -> Any:  # JSON
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {SPECIAL}:
        return SPECIAL_FLOATS[value[SPECIAL]]
    return {key: _with_floats(item) for key, item in value.items()}


def _place(node: Any, path: list[str], tensor: Tensor) -> None:
    """Put the tensor where it was taken from: a new key of a mapping, or the place held open in a list."""
    try:
        for part in path[:-1]:
            node = node[int(part)] if isinstance(node, list) else node[part]
        if isinstance(node, list):
            node[int(path[-1])] = tensor
        else:
            node[path[-1]] = tensor
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the JSON of the state has no place for the tensor {SEPARATOR.join(path)}") from error
