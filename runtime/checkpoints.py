"""Checkpoints on disk: all a run needs to go on, whole or not at all, the last few of them.

    write_checkpoint(folder, checkpoint)
    found = newest_checkpoint(folder)         # the newest one that is whole

One is a safetensors file (the version that serves under its plain names, so that it also is a weight file; the rest of
the state under paths) and a small JSON manifest. Both appear by rename, the manifest last: it is what makes them a
checkpoint, and its sha256 covers every byte of the other. Names sort by the frame a run goes on at, then in the
order of writing (a learner that lags learns on while no frame comes). Knows nothing of when to save and what the state
means.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast  # Any: JSON

from models.tensorfile import from_bytes, to_bytes, write_atomically
from runtime.state import SEPARATOR, State, flatten, unflatten

KEEP = 3
SCHEMA = 2
SERVED = SEPARATOR.join(("weights", "tensors", ""))  # where the state holds the tensors of the version
PATTERN = "frame-*.json"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """`state` is a snapshot's with what observers and stream add to it (see `saving.py`).

    The run goes on at frame `next_frame`; by then its record of events was `events_bytes` long. `serial` counts the
    checkpoints of a run.
    """

    next_frame: int
    serial: int
    events_bytes: int
    state: State

    @property
    def version(self) -> int:
        """Number of the version that serves."""
        return version_of(self.state)

    @property
    def name(self) -> str:
        """What its files are called; later ones sort higher."""
        return f"frame-{self.next_frame:010d}-{self.serial:06d}"

    @property
    def num_before(self) -> int:
        """Frames captured before `next_frame`."""
        return cast(int, cast(State, self.state["stream"])["num_before"])

    @property
    def weights(self) -> State:
        return cast(State, self.state["weights"])


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The newest checkpoint that is whole, None where there is none, and why newer ones were passed over."""

    checkpoint: Checkpoint | None
    passed_over: tuple[str, ...]


def version_of(state: State) -> int:
    """Number of the version that serves, in the state of a run."""
    return cast(int, cast(State, state["weights"])["number"])


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int = KEEP) -> None:
    """Write it and remove all but the newest `keep`; OSError when the disk refuses, and then nothing is lost."""
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder, keep)  # before writing too: a disk may be full of what an earlier process left
    content = _encoded(checkpoint)
    manifest = _manifest(checkpoint, content)
    write_atomically(folder / f"{checkpoint.name}.safetensors", content)
    write_atomically(folder / f"{checkpoint.name}.json", (json.dumps(manifest, indent=1) + "\n").encode())
    _sweep(folder, keep)


def newest_checkpoint(folder: Path) -> Found:
    """Looks at the checkpoints from the newest to the oldest until one is whole."""
    passed_over: list[str] = []
    for manifest in sorted(folder.glob(PATTERN), reverse=True):
        try:
            return Found(_read(manifest), tuple(passed_over))
        except (OSError, ValueError) as error:
            passed_over.append(f"{manifest.stem}: {error}")
    return Found(None, tuple(passed_over))


def drop_newer(folder: Path, checkpoint: Checkpoint) -> None:
    """Remove those later than `checkpoint`: damaged ones, which would outlive the sound ones written from here on."""
    for manifest in folder.glob(PATTERN):
        if manifest.stem > checkpoint.name:
            _remove(manifest)


def _read(manifest_path: Path) -> Checkpoint:
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    content = manifest_path.with_suffix(".safetensors").read_bytes()
    if not isinstance(manifest, dict) or manifest.get("sha256") != hashlib.sha256(content).hexdigest():
        raise ValueError("the sha256 of the tensors is not the one in the manifest")
    checkpoint = _decoded(content)
    if manifest != _manifest(checkpoint, content):
        raise ValueError("the manifest does not fit the tensors")
    return checkpoint


def _encoded(checkpoint: Checkpoint) -> bytes:
    tensors, text = flatten(checkpoint.state)
    metadata = {
        "version": str(checkpoint.version),
        "next_frame": str(checkpoint.next_frame),
        "serial": str(checkpoint.serial),
        "events_bytes": str(checkpoint.events_bytes),
        "state": text,
    }
    return to_bytes({name.removeprefix(SERVED): tensor for name, tensor in tensors.items()}, metadata=metadata)


def _decoded(content: bytes) -> Checkpoint:
    named, metadata = from_bytes(content)
    tensors = {name if SEPARATOR in name else SERVED + name: tensor for name, tensor in named.items()}
    match metadata:
        case {"next_frame": next_frame, "serial": serial, "events_bytes": events_bytes, "state": text}:
            return Checkpoint(int(next_frame), int(serial), int(events_bytes), unflatten(tensors, text))
    raise ValueError("holds tensors, but no state of a run")


def _manifest(checkpoint: Checkpoint, content: bytes) -> dict[str, Any]:
    """What a reader may want to know without reading the tensors, and what proves them whole."""
    return {
        "schema": SCHEMA,
        "next_frame": checkpoint.next_frame,
        "serial": checkpoint.serial,
        "version": checkpoint.version,
        "parent": checkpoint.weights["parent"],
        "frame": checkpoint.weights["frame_index"],
        "events_bytes": checkpoint.events_bytes,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _sweep(folder: Path, keep: int) -> None:
    """Remove old checkpoints, and what a process that was killed left unfinished."""
    manifests = sorted(folder.glob(PATTERN))
    for manifest in manifests[:-keep]:
        _remove(manifest)
    whole = {manifest.with_suffix(".safetensors") for manifest in manifests[-keep:]}
    for path in (*folder.glob(".*.tmp"), *(set(folder.glob("frame-*.safetensors")) - whole)):
        path.unlink(missing_ok=True)


def _remove(manifest: Path) -> None:
    """The manifest goes first: tensors without one are no checkpoint."""
    manifest.unlink(missing_ok=True)
    manifest.with_suffix(".safetensors").unlink(missing_ok=True)
