"""The state of an unfinished training on disk: OUT.partial, one safetensors file, written whole or not at all.

It carries the configuration it belongs to; training never goes on from the state of another configuration.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from models.tensorfile import read_tensors, write_tensors
from runtime.option_words import ConfigError

KEY = "pretraining"


@dataclass(frozen=True, slots=True, eq=False)
class PartialTraining:
    """Where a training stands: tensors of the trainer, steps done, position of the data loader, what it belongs to."""

    tensors: Mapping[str, Tensor]
    num_steps_done: int
    loader: Mapping[str, Any]
    trained_s: float
    identity: Mapping[str, Any]


def write_partial(path: Path, partial: PartialTraining) -> None:
    """OSError where the disk refuses; the previous state is then still there."""
    document = {
        "num_steps_done": partial.num_steps_done,
        "loader": partial.loader,
        "trained_s": partial.trained_s,
        "identity": partial.identity,
    }
    write_tensors(path, partial.tensors, metadata={KEY: json.dumps(document)})


def read_partial(path: Path, *, identity: Mapping[str, Any]) -> PartialTraining:
    """The state in `path`; ConfigError where it belongs to other settings, CheckpointInvalid where it is damaged."""
    tensors, metadata = read_tensors(path)
    if KEY not in metadata:
        raise ConfigError(f"--out: {path} is in the way and holds no training state; move it away")
    document = json.loads(metadata[KEY])
    stored = document["identity"]
    wanted = json.loads(json.dumps(identity))
    for option in wanted.keys() | stored.keys():
        if stored.get(option) != wanted.get(option):
            raise ConfigError(
                f"--{option.replace('_', '-')} {wanted.get(option)}: {path} was trained with {stored.get(option)}; "
                "give the same settings to go on, or delete that file to start over"
            )
    return PartialTraining(tensors=tensors, **document)
