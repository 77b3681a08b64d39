"""Files of named tensors are what the format's own library writes and reads, and writing them leaves nothing behind."""

import ctypes

import pytest
import safetensors.torch
import torch

from models.tensorfile import CODES, from_bytes, tensors_digest, to_bytes

EVERY_TYPE = {f"of {dtype}": torch.arange(1, 4).to(dtype) for dtype in CODES}
ODD_ONES = {
    "scalar": torch.tensor(1.5),
    "empty": torch.zeros(0, 3),
    "strided": torch.arange(12.0).view(3, 4).T,
    'a/name: "quoted"\\ \N{GREEK SMALL LETTER OMEGA}\n': torch.ones(2, dtype=torch.uint8),
}


@pytest.mark.parametrize("tensors", [EVERY_TYPE, ODD_ONES])
@pytest.mark.parametrize("metadata", [{}, {"note": 'a "quote", \\ and \N{GREEK SMALL LETTER OMEGA}\n'}])
def test_contents_are_byte_for_byte_those_of_the_library(tensors, metadata) -> None:
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    assert to_bytes(tensors, metadata=metadata) == safetensors.torch.save(plain, metadata=metadata)


def test_tensors_that_share_memory_are_each_written_whole() -> None:
    whole = torch.arange(6.0)
    tensors, metadata = from_bytes(to_bytes({"whole": whole, "end": whole[3:]}, metadata={"b": "1", "a": "2"}))
    assert torch.equal(tensors["whole"], whole) and torch.equal(tensors["end"], whole[3:])
    assert metadata == {"b": "1", "a": "2"}


def test_sizes_never_seen_before_leave_no_types_behind() -> None:
    """ctypes keeps every pointer type for good."""
    kept = len(ctypes._pointer_type_cache)
    for size in range(5000, 5050):
        to_bytes({"a": torch.zeros(size)}, metadata={})
    assert len(ctypes._pointer_type_cache) == kept
    safetensors.torch.save({"a": torch.zeros(5000)})
    assert len(ctypes._pointer_type_cache) > kept  # the library's, or this test would see nothing


def test_a_single_value_that_was_expanded_is_written_like_any_other() -> None:
    """A scalar of numpy's comes with stride 0, and counts as contiguous all the same."""
    expanded = torch.tensor(7).expand(1)
    assert expanded.stride() == (0,)
    read, _ = from_bytes(to_bytes({"expanded": expanded, "rows": torch.arange(3).expand(2, 3)}, metadata={}))
    assert read["expanded"].tolist() == [7] and read["rows"].tolist() == [[0, 1, 2], [0, 1, 2]]
    assert tensors_digest({"x": expanded}) == tensors_digest({"x": torch.tensor([7])})
