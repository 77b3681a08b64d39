"""A library in a file comes back as it was, for runs with the same source weights; any other is refused in a line."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from models.tensorfile import CheckpointInvalid, read_tensors, write_tensors
from runtime.library import DomainLibrary
from runtime.library_file import LibraryOrigin, read_library, write_library
from runtime.shift.appearance import NUM_FEATURES
from runtime.state import flatten
from tests.fakes import make_source

ORIGIN = LibraryOrigin("head", {"head.x": [2], "head.y": [1]}, "f" * 64, "a" * 64)


def library_of(*values: float) -> DomainLibrary:
    """A domain for each value, which is in its weights, all of them far apart."""
    features_NF = np.eye(NUM_FEATURES) * 1e3
    source = make_source(np.zeros(NUM_FEATURES), np.eye(NUM_FEATURES))
    library = DomainLibrary(source, capacity_bytes=9999)
    for number, value in enumerate(values):
        tensors = {"head.x": torch.tensor([value, value]), "head.y": torch.tensor([-value])}
        library.remember(features_NF[number], tensors, agreement=0.25, num_frames=number)
    return library


def refusal(path, origin) -> str:
    with pytest.raises(CheckpointInvalid) as caught:
        read_library(path, origin)
    message = str(caught.value)
    assert message.startswith(f"--library {path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize("values", [(), (0.1, 7.0)])
def test_a_library_comes_back_as_it_was(tmp_path, values) -> None:
    path, again = tmp_path / "domains.safetensors", library_of()
    library = library_of(*values)
    write_library(path, library, ORIGIN)
    again.load_state(read_library(path, ORIGIN))
    assert len(again.domains) == len(values)
    for kept, there in zip(library.domains, again.domains, strict=True):
        assert np.array_equal(kept.appearance_F, there.appearance_F) and kept.value == there.value
        assert (kept.number, kept.agreement, kept.num_frames) == (there.number, 0.25, there.num_frames)
        assert all(torch.equal(there.tensors[name], tensor) for name, tensor in kept.tensors.items())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trainable": "full"}, "manifest.trainable is head, expected full"),
        ({"shapes": {"head.x": [2], "head.y": [3]}}, "manifest.shapes.head.y is [1], expected [3]"),
        ({"shapes": {"head.x": [2], "head.y": [1], "head.z": [1]}}, "manifest.shapes.head.z is missing"),
        ({"shapes": {"head.x": [2]}}, "manifest.shapes.head.y is not among the 1 expected"),
        ({"frozen_sha256": "b" * 64}, "manifest.frozen_sha256 is ffffffffffff..., expected bbbbbbbbbbbb..."),
        ({"source_sha256": "b" * 64}, "manifest.source_sha256 is aaaaaaaaaaaa..., expected bbbbbbbbbbbb..."),
    ],
)
def test_a_library_of_other_weights_is_refused_by_its_first_odd_key(tmp_path, change, told) -> None:
    path = tmp_path / "domains.safetensors"
    write_library(path, library_of(1.0), ORIGIN)
    assert told in refusal(path, dataclasses.replace(ORIGIN, **change))


def test_domains_that_are_not_what_the_manifest_says_are_refused(tmp_path) -> None:
    path, other = tmp_path / "domains.safetensors", tmp_path / "other.safetensors"
    write_library(path, library_of(1.0, 2.0), ORIGIN)
    tensors, metadata = read_tensors(path)
    write_tensors(other, tensors | {"domains/1/tensors/head.y": torch.zeros(5)}, metadata=metadata)
    assert "domains.1.tensors.head.y is [5], expected [1]" in refusal(other, ORIGIN)
    write_tensors(other, tensors | {"domains/0/appearance": torch.zeros(3)}, metadata=metadata)
    assert f"domains.0.appearance is not {NUM_FEATURES} features" in refusal(other, ORIGIN)
    del tensors["domains/1/tensors/head.x"]
    write_tensors(other, tensors, metadata=metadata)
    assert "domains.1.tensors.head.x is missing" in refusal(other, ORIGIN)


def test_other_files_are_no_library(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"head.x": torch.zeros(2)}, metadata={})
    assert "holds no domain library" in refusal(path, ORIGIN)
    tensors, text = flatten(library_of(1.0).state())
    write_tensors(path, tensors, metadata={"manifest": "{}", "state": text})
    assert "manifest.schema is missing" in refusal(path, ORIGIN)
    path.write_bytes(b"cut short")
    with pytest.raises(CheckpointInvalid, match=f"^--library {path}: not a complete safetensors file"):
        read_library(path, ORIGIN)


def test_a_disk_that_refuses_leaves_the_file_as_it_was(tmp_path) -> None:
    path = tmp_path / "folder" / "domains.safetensors"
    path.parent.mkdir()
    write_library(path, library_of(1.0), ORIGIN)
    before = path.read_bytes()
    os.rename(path.parent, tmp_path / "gone")
    with pytest.raises(OSError, match="folder"):
        write_library(path, library_of(2.0), ORIGIN)
    assert (tmp_path / "gone" / path.name).read_bytes() == before
