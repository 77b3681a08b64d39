"""Versions on disk: the newest few, whole or not at all, and a disk that refuses costs no run."""

import json

import pytest
import torch

from models.tensorfile import read_tensors, tensors_digest
from runtime.checkpoints import KEEP, VersionArchive
from runtime.weights import VersionedWeights
from tests.fakes import ManualClock


@pytest.fixture
def weights():
    return VersionedWeights({"a": torch.zeros(3), "b.c": torch.ones(2, 2)})


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def archive(tmp_path, weights, clock):
    return VersionArchive(tmp_path / "run" / "checkpoints", weights, every_s=10.0, clock=clock)


def publish(weights, value):
    tensors = {name: torch.full_like(tensor, value) for name, tensor in weights.source.tensors.items()}
    return weights.publish(tensors, frame_index=int(value) * 5)


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())


def test_a_version_is_saved_with_a_manifest_that_fits_it(archive, weights, tmp_path, clock) -> None:
    publish(weights, 1)
    saved = archive.save()
    assert (saved.version, saved.error, saved.at_s) == (1, "", clock.now_s)
    assert names(tmp_path) == ["version-00000001.json", "version-00000001.safetensors"]
    tensors, metadata = read_tensors(tmp_path / "run" / "checkpoints" / "version-00000001.safetensors")
    manifest = json.loads((tmp_path / "run" / "checkpoints" / "version-00000001.json").read_text())
    assert manifest == {"schema": 1, "version": 1, "parent": 0, "frame": 5, "sha256": tensors_digest(tensors)}
    assert metadata == {"version": "1"}
    assert torch.equal(tensors["b.c"], torch.ones(2, 2)) and torch.equal(tensors["a"], torch.ones(3))


def test_a_version_is_due_after_the_interval_and_saved_once(archive, weights, clock) -> None:
    clock.advance(9.9)
    assert archive.save_if_due() is None
    clock.advance(0.1)
    assert archive.save_if_due().version == 0
    clock.advance(10)
    assert archive.save_if_due() is None  # nothing new
    publish(weights, 1)
    assert archive.save_if_due() is None  # looked at a moment ago
    clock.advance(10)
    assert archive.save_if_due().version == 1
    assert archive.save() is None


def test_only_the_newest_are_kept(archive, weights, tmp_path) -> None:
    for value in range(1, 8):
        publish(weights, value)
        archive.save()
    assert names(tmp_path) == [
        f"version-{number:08}.{suffix}" for number in range(8 - KEEP, 8) for suffix in ("json", "safetensors")
    ]


def test_a_disk_that_refuses_is_an_event_and_tried_again(tmp_path, weights, clock) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    archive = VersionArchive(tmp_path / "run" / "checkpoints", weights, every_s=10.0, clock=clock)
    failed = archive.save()
    assert failed.version == 0 and "Not a directory" in failed.error and "checkpoints" in failed.error
    (tmp_path / "run").unlink()
    assert archive.save().error == ""
    assert names(tmp_path) == ["version-00000000.json", "version-00000000.safetensors"]
