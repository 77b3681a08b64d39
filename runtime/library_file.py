"""A domain library in a file, so that another run, or another car with the same source model, begins with it.

    origin = LibraryOrigin(frozen_digest(model), weights.source_digest, "adapters+head", shapes)
    library.load_state(read_library(path, origin))
    write_library(path, library, origin)

One safetensors file, written whole or not at all: under `manifest` JSON that says which weights it belongs to, under
`state` the figures of every domain, and beside them the domains' tensors and appearances. The appearances are raw
features: they mean the same wherever frames mean the same, while whitened ones would belong to one run's calibration.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast  # Any: JSON

from torch import Tensor

from models.tensorfile import CheckpointInvalid, prefixing, read_tensors, write_tensors
from runtime.library import DomainLibrary
from runtime.shift.appearance import NUM_FEATURES
from runtime.state import State, flatten, unflatten

SCHEMA = 1
REMEDY = "name another file, or move this one away to begin a new library"


@dataclass(frozen=True, slots=True)
class LibraryOrigin:
    """What domains were learnt from: the trainable mode, shapes of the adaptable tensors by name, and digests of the
    source weights, frozen and adaptable.
    """

    trainable: str
    shapes: Mapping[str, list[int]]
    frozen_sha256: str
    source_sha256: str


def read_library(path: Path, origin: LibraryOrigin) -> State:
    """The state of the library in `path`; CheckpointInvalid, naming the first key that does not fit `origin`."""
    with prefixing("--library"):
        tensors, metadata = read_tensors(path)
    expected = _manifest(origin)
    try:
        found = json.loads(metadata["manifest"])
        state = unflatten(tensors, metadata["state"])
    except (KeyError, ValueError) as error:
        raise CheckpointInvalid(f"--library {path}: holds no domain library ({error}); {REMEDY}") from error
    fault = _first_difference(found, expected) or _odd_domain(state, origin)
    if fault:
        raise CheckpointInvalid(f"--library {path}: {fault}; {REMEDY}")
    return state


def write_library(path: Path, library: DomainLibrary, origin: LibraryOrigin) -> None:
    """OSError when the disk refuses; the file then is what it was."""
    tensors, text = flatten(library.state())
    write_tensors(path, tensors, metadata={"manifest": json.dumps(_manifest(origin)), "state": text})


def _manifest(origin: LibraryOrigin) -> dict[str, Any]:
    return {"schema": SCHEMA, "features": NUM_FEATURES, **asdict(origin)}


def _first_difference(found: Any, expected: Any, key: str = "manifest") -> str:
    """What is wrong with `found`, by key; empty where nothing is. Shapes come before digests: they tell more."""
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return "" if found == expected else f"{key} is {_short(found)}, expected {_short(expected)}"
    for name, value in expected.items():
        if name not in found:
            return f"{key}.{name} is missing"
        if fault := _first_difference(found[name], value, f"{key}.{name}"):
            return fault
    odd = sorted(found.keys() - expected.keys())
    return f"{key}.{odd[0]} is not among the {len(expected)} expected" if odd else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _odd_domain(state: State, origin: LibraryOrigin) -> str:
    """A domain whose tensors are not those the manifest tells of; empty where there is none."""
    for place, domain in enumerate(cast(list[State], state.get("domains", []))):
        tensors = cast(dict[str, Tensor], domain.get("tensors", {}))
        shapes = {name: list(tensor.shape) for name, tensor in tensors.items()}
        if fault := _first_difference(shapes, dict(origin.shapes), f"domains.{place}.tensors"):
            return fault
        appearance_F = domain.get("appearance")
        if not isinstance(appearance_F, Tensor) or appearance_F.shape != (NUM_FEATURES,):
            return f"domains.{place}.appearance is not {NUM_FEATURES} features"
    return ""
