"""Weight files of other programs: tensors by name and what the file says of them, read without running anything.

    file = read_weights(Path("mitb1_uda.pth"))
    file.networks["model"]                        # {"backbone.patch_embed1.proj.weight": ...}

Two formats are read: safetensors, and what `torch.save` writes, restricted to tensors and plain values
(`weights_only`). A pickle that asks for anything else to be called is refused unopened. Files of a training run hold
several networks (student, averaged weights, a fixed one), told apart by the first word of their names.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # what a stranger's file holds

import torch
from torch import Tensor

from models.tensorfile import CheckpointInvalid, is_pickle, read_tensors

NETWORKS = ("model", "ema_model", "imnet_model")  # of DAFormer's and HAMLET's runs; the first is what they evaluate
ONLY = ""  # the name of a network in a file that holds one
WRAPPERS = ("state_dict", "model_state_dict", "model")
UNNAMED = re.compile(r"LABEL_\d+")
MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class WeightFile:
    """`networks`: tensors by network and name, `module.` taken off. `classes`: their names where the file, or a Hugging
    Face config.json beside it, gives them; empty otherwise. `others`: what was passed over as it is no tensor.
    """

    path: Path
    networks: dict[str, dict[str, Tensor]]
    classes: tuple[str, ...]
    others: tuple[str, ...]


def read_weights(path: Path) -> WeightFile:
    """CheckpointInvalid, in one line, where the file is missing, damaged, holds no tensors, or holds code."""
    content = _content(path)
    tensors, others = _tensors(content)
    if not tensors:
        raise CheckpointInvalid(f"{path}: holds no tensors; give the file that the weights were saved to")
    return WeightFile(path, _networks(tensors), _classes(path, content), others)


def _content(path: Path) -> Mapping[str, Any]:
    if not is_pickle(path):
        return read_tensors(path)[0]
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may make the reader raise anything
        raise CheckpointInvalid(f"{path}: {_fault(str(error))}") from error
    if not isinstance(content, Mapping):
        raise CheckpointInvalid(f"{path}: holds a {type(content).__name__}, expected tensors by name (a state dict)")
    return content


def _fault(message: str) -> str:
    if (called := re.search(r"GLOBAL ([\w.]+)", message)) is not None:
        return (
            f"a pickle that calls {called[1]}, which may be any code, so it was not opened; where you trust it, save "
            "its tensors alone: torch.save(state_dict, FILE)"
        )
    if "weights only" in message.lower() or "WeightsUnpickler" in message:
        return "a pickle that holds more than tensors, so it was not opened; save its tensors alone as safetensors"
    first = " ".join(message.split())[:120]
    return f"not a complete file of torch.save ({first}); copy or download it again"


def _tensors(content: Mapping[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict in the file, however deep it is wrapped, and the names of what lies beside its tensors."""
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            return _tensors(content[wrapper])
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors, tuple(str(name) for name, value in content.items() if not isinstance(value, Tensor))


def _networks(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    networks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in sorted(plain.items()):
        first, _, rest = name.partition(".")
        network, kept = (first, rest.removeprefix("module.")) if first in NETWORKS else (ONLY, name)
        networks.setdefault(network, {})[kept] = tensor
    return networks


def _classes(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """mmsegmentation 0.x writes meta.CLASSES, 1.x meta.dataset_meta.classes, Hugging Face id2label into config.json."""
    meta = content.get("meta")
    if isinstance(meta, Mapping):
        inner = meta.get("dataset_meta")
        names = meta.get("CLASSES") or (inner.get("classes") if isinstance(inner, Mapping) else None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return tuple(names)
    return _hugging_face_classes(path.with_name("config.json"))


def _hugging_face_classes(path: Path) -> tuple[str, ...]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            return ()
        labels = json.loads(path.read_text(encoding="utf-8"))["id2label"]
        names = tuple(str(labels[number]) for number in sorted(labels, key=int))
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return () if any(UNNAMED.fullmatch(name) for name in names) else names
