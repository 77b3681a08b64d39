"""Published versions kept on disk: the last few, each as safetensors with a JSON manifest.

A file appears whole or not at all: written beside its name, synced, renamed, the folder synced. A disk that is full
or read-only costs checkpoints, never the run; the failure is an event. Knows nothing of when; the session asks it to
look now and then.
"""

import json
from collections.abc import Callable
from pathlib import Path

from models.tensorfile import tensors_digest, write_atomically, write_tensors
from runtime.events import CheckpointSaved
from runtime.weights import Version, VersionedWeights

KEEP = 3


class VersionArchive:
    """Owns the `checkpoints/` folder of a run."""

    def __init__(
        self, folder: Path, weights: VersionedWeights, *, every_s: float, clock: Callable[[], float], keep: int = KEEP
    ) -> None:
        self._folder = folder
        self._weights = weights
        self._every_s = every_s
        self._clock = clock
        self._keep = keep
        self._last_number: int | None = None
        self._last_at_s = clock()

    def save_if_due(self) -> CheckpointSaved | None:
        """Save the newest version when the interval has passed and it is a new one."""
        if self._clock() - self._last_at_s < self._every_s:
            return None
        return self.save()

    def save(self) -> CheckpointSaved | None:
        """Save the newest version now; None when it is saved already."""
        version = self._weights.latest
        self._last_at_s = self._clock()
        if version.number == self._last_number:
            return None
        error = ""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._write(version)
            self._prune()
            self._last_number = version.number
        except OSError as failure:
            error = f"{failure.strerror or failure}: {self._folder}"
        return CheckpointSaved(version=version.number, error=error, at_s=self._clock())

    def _write(self, version: Version) -> None:
        """Weights first, manifest last: the manifest is what makes them a checkpoint."""
        stem = self._folder / f"version-{version.number:08d}"
        manifest = {
            "schema": 1,
            "version": version.number,
            "parent": version.parent,
            "frame": version.frame_index,
            "sha256": tensors_digest(version.tensors),
        }
        write_tensors(stem.with_suffix(".safetensors"), version.tensors, metadata={"version": str(version.number)})
        write_atomically(stem.with_suffix(".json"), json.dumps(manifest, indent=1).encode())

    def _prune(self) -> None:
        """The manifest goes first: weights without one are no checkpoint."""
        for manifest in sorted(self._folder.glob("version-*.json"))[: -self._keep]:
            manifest.unlink()
            manifest.with_suffix(".safetensors").unlink(missing_ok=True)
