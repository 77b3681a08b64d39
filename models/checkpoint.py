"""Checkpoints: a network's tensors with a manifest that says what they are, loaded strictly or refused in one line.

The manifest lives in the safetensors metadata (which counts) and, for people, as NAME.json beside the file. A source
checkpoint holds the plain network, and a light decoder where one was trained (tensors named `light_decoder.`);
adapters start at zero and are attached after loading.

    manifest = save_checkpoint(Path("mine.safetensors"), model.state_dict(), manifest, storage=torch.float16)
    model, manifest = load_model("mine.safetensors")              # or the name of a shipped checkpoint
"""

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from models.light_decoder import PREFIX as LIGHT
from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.tensorfile import (
    CheckpointInvalid,
    is_pickle,
    prefixing,
    read_tensors,
    tensors_digest,
    write_atomically,
    write_tensors,
)
from models.zoo import MODELS, build_model, has_light_decoder, is_imported, is_known

SCHEMA = 1
MANIFEST_KEY = "manifest"
SUFFIX = ".safetensors"
WEIGHTS_DIR = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Source:
    """What the network was trained on. `size_HW` is the training size in pixels, `normalisation` as in `preprocess`."""

    dataset: str
    split: str
    size_HW: tuple[int, int]
    normalisation: str = "imagenet"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint is. `recipe` and `metrics` are free (JSON values); `sha256` is of the tensors as stored."""

    model: str
    num_classes: int
    classes: tuple[str, ...]
    source: Source
    recipe: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    sha256: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if len(self.classes) != self.num_classes:
            raise ValueError(
                f"manifest.classes must have {self.num_classes} names (num_classes), got {len(self.classes)}"
            )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def save_checkpoint(
    path: Path, state: Mapping[str, Tensor], manifest: Manifest, *, storage: torch.dtype = torch.float32
) -> Manifest:
    """Write `state` and its manifest atomically; returns the manifest with its sha256.

    `storage` applies to weights of two or more dimensions (float16 halves the file); norms, biases and statistics stay
    float32. ValueError when a finite weight does not fit the storage type.
    """
    stored = {name: _stored(name, tensor, storage) for name, tensor in state.items()}
    manifest = dataclasses.replace(manifest, sha256=tensors_digest(stored))
    write_tensors(path, stored, metadata={MANIFEST_KEY: manifest.to_json()})
    write_atomically(path.with_suffix(".json"), (json.dumps(dataclasses.asdict(manifest), indent=2) + "\n").encode())
    return manifest


def load_checkpoint(path_or_name: str | Path) -> tuple[dict[str, Tensor], Manifest]:
    """State (floats as float32) and manifest of a file or of a shipped checkpoint; CheckpointInvalid."""
    path = find_checkpoint(path_or_name)
    if is_pickle(path):
        raise CheckpointInvalid(f"{path}: weights of another program, which are not opened here; {_converting(path)}")
    tensors, metadata = read_tensors(path)
    if MANIFEST_KEY not in metadata:
        raise CheckpointInvalid(
            f"{path}: its metadata has no {MANIFEST_KEY!r}, so it is of another program or was written by other means; "
            f"{_converting(path)}"
        )
    manifest = _parse_manifest(path, metadata[MANIFEST_KEY])
    if tensors_digest(tensors) != manifest.sha256:
        raise CheckpointInvalid(
            f"{path}: tensors do not have the manifest's sha256; the file is damaged, copy it again"
        )
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}, manifest


def load_model(path_or_name: str | Path, *, model: str | None = None) -> tuple[SegmentationModel, Manifest]:
    """The network of a checkpoint, in eval mode on the CPU. CheckpointInvalid if it is not the `model` asked for."""
    network, _, manifest = load_source(path_or_name, model=model)
    return network, manifest


def load_source(
    path_or_name: str | Path, *, model: str | None = None
) -> tuple[SegmentationModel, LightDecoder | None, Manifest]:
    """The same with the light decoder, where the checkpoint has one."""
    state, manifest = load_checkpoint(path_or_name)
    if not is_known(manifest.model):
        raise CheckpointInvalid(
            f"{path_or_name}: holds the unknown model {manifest.model!r}; known: {', '.join(MODELS)}"
        )
    if model is not None and model != manifest.model:
        raise CheckpointInvalid(
            f"{path_or_name}: holds {manifest.model}, not {model}; drop --model or choose a checkpoint of {model}"
        )
    if model is None and is_imported(manifest.model):
        raise CheckpointInvalid(
            f"{path_or_name}: holds {manifest.model}, and a file may not choose what code is run; name it with --model"
        )
    network = build_model(manifest.model, num_classes=manifest.num_classes)
    light = {name.removeprefix(LIGHT): tensor for name, tensor in state.items() if name.startswith(LIGHT)}
    decoder = None
    with prefixing(f"{path_or_name}:"):
        load_into(network, {name: tensor for name, tensor in state.items() if not name.startswith(LIGHT)})
        if light:
            decoder = LightDecoder.of(network).requires_grad_(False)
            load_into(decoder, light)
    if decoder is None and has_light_decoder(manifest.model):
        raise CheckpointInvalid(
            f"{path_or_name}: holds {manifest.model} without its light decoder; train it with udaseg-runtime pretrain, "
            "or convert the file of a whole network"
        )
    return network.eval(), decoder, manifest


def state_with(model: SegmentationModel, decoder: LightDecoder) -> dict[str, Tensor]:
    """The tensors of a network and its light decoder, to be saved as one checkpoint."""
    return {**model.state_dict(), **{LIGHT + name: tensor for name, tensor in decoder.state_dict().items()}}


def load_into(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a complete state into a model; CheckpointInvalid names the first key that differs, copying nothing."""
    expected = model.state_dict()
    for key, tensor in expected.items():
        if key not in state:
            raise CheckpointInvalid(
                f"key {key} is missing (expected {_shape(tensor)}); is it a checkpoint of another model?"
            )
        if state[key].shape != tensor.shape:
            raise CheckpointInvalid(
                f"key {key} is {_shape(state[key])}, expected {_shape(tensor)}; build the model the checkpoint names"
            )
    unexpected = [key for key in state if key not in expected]
    if unexpected:
        raise CheckpointInvalid(f"key {unexpected[0]} is not in the model; is it a checkpoint of another model?")
    model.load_state_dict(state)


def find_checkpoint(path_or_name: str | Path) -> Path:
    """An existing file, or the shipped checkpoint of that name; CheckpointInvalid names the nearest shipped ones."""
    path = Path(path_or_name)
    if path.is_file():
        return path
    shipped = shipped_checkpoints()
    if str(path_or_name) in shipped:
        return WEIGHTS_DIR / f"{path_or_name}{SUFFIX}"
    near = difflib.get_close_matches(str(path_or_name), shipped, n=3, cutoff=0.4) or shipped
    known = f"nearest shipped: {', '.join(near)}" if near else "no checkpoint is shipped"
    raise CheckpointInvalid(f"{path_or_name}: neither a file nor a shipped checkpoint; {known}")


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints that come with the package."""
    return sorted(path.stem for path in WEIGHTS_DIR.glob(f"*{SUFFIX}"))


def _converting(path: Path) -> str:
    return f"make a checkpoint of it with udaseg-runtime checkpoint convert {path} --to NAME.safetensors"


def _stored(name: str, tensor: Tensor, storage: torch.dtype) -> Tensor:
    if tensor.ndim < 2 or not tensor.is_floating_point():
        return tensor
    stored = tensor.to(storage)
    if bool((torch.isfinite(tensor) & ~torch.isfinite(stored)).any()):
        raise ValueError(f"{name} has values beyond the range of {storage}; store it as torch.float32")
    return stored


def _parse_manifest(path: Path, text: str) -> Manifest:
    try:
        values = json.loads(text)
        if values.get("schema") != SCHEMA:
            raise CheckpointInvalid(
                f"{path}: manifest schema is {values.get('schema')!r}, expected {SCHEMA}; convert it"
            )
        source = values["source"]
        height, width = source.pop("size_HW")
        values["source"] = Source(**source, size_HW=(int(height), int(width)))
        values["classes"] = tuple(values["classes"])
        return Manifest(**values)
    except CheckpointInvalid:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fault = " ".join(str(error).split())
        raise CheckpointInvalid(
            f"{path}: its manifest is not as expected ({fault}); write it with save_checkpoint"
        ) from error


def _shape(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "a scalar"
