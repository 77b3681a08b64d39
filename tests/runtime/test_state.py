"""A state survives being split into tensors and JSON and joined again."""

import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from models.tensorfile import from_bytes, to_bytes
from runtime.state import flatten, kept, restore, state_of, unflatten

keys = st.text("abcxyz0189._- ", min_size=1, max_size=6)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool, torch.float16])
tensors = st.builds(
    lambda shape, dtype, seed: torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    dtypes,
    st.integers(0, 99),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars | tensors, lambda part: st.lists(part, max_size=3) | st.dictionaries(keys, part, max_size=3), max_leaves=12
)
states = st.dictionaries(keys, values, max_size=5)


def same(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (left == right and math.copysign(1, left * right) == 1)
    return left == right


@given(states)
def test_every_state_comes_back(state) -> None:
    named, text = flatten(state)
    assert same(unflatten(named, text), state)


@given(states)
def test_it_does_through_the_bytes_of_a_file_too(state) -> None:
    named, text = flatten(state)
    held, metadata = from_bytes(to_bytes(named, metadata={"state": text}))
    assert same(unflatten(held, metadata["state"]), state)


@given(states)
def test_the_json_is_strict(state) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    json.loads(flatten(state)[1], parse_constant=refuse)


def test_names_are_paths() -> None:
    state = {"learner": {"average": {"head.weight": torch.ones(2)}}, "visits": [{"counts": torch.ones(1)}]}
    named, text = flatten(state)
    assert set(named) == {"learner/average/head.weight", "visits/0/counts"}
    assert json.loads(text) == {"learner": {"average": {}}, "visits": [{}]}


@pytest.mark.parametrize("odd", [np.zeros(2), np.int64(3), {1, 2}, object()])
def test_what_is_no_state_is_refused(odd) -> None:
    with pytest.raises(TypeError, match="a/0: a state cannot hold"):
        flatten({"a": [odd]})


@pytest.mark.parametrize("key", ["", "a/b", "$float", 3])
def test_keys_that_would_be_mistaken_are_refused(key) -> None:
    with pytest.raises(ValueError, match="cannot be a key"):
        flatten({key: 1})


@pytest.mark.parametrize("name", ["a/b", "list/2", "list/x", "number/a"])
def test_tensors_without_a_place_are_refused(name) -> None:
    with pytest.raises(ValueError, match="has no place for the tensor"):
        unflatten({name: torch.ones(1)}, '{"list": [null], "number": 3}')


def test_tensors_that_share_memory_are_kept_apart() -> None:
    one = torch.arange(4.0)
    held, _ = from_bytes(to_bytes({"a": one, "b": one, "c": one[1:]}, metadata={}))
    assert torch.equal(held["b"], one) and torch.equal(held["c"], one[1:])


def test_a_kept_tensor_is_a_copy() -> None:
    tensor = torch.ones(2, requires_grad=True)
    copy = kept(tensor)
    with torch.no_grad():
        tensor.zero_()
    assert copy.tolist() == [1, 1] and not copy.requires_grad


def test_parts_without_state_have_an_empty_one() -> None:
    assert state_of(None) == {} and state_of("a word") == {}
    restore(None, {"a": 1})
