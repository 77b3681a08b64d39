"""What a run's networks hold: what is frozen once, what is learnt once for each that differs."""

import gc
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from models.trainable import adaptable_tensors
from runtime.build import build

FROZEN, LEARNT = (1024, 256), (256, 1024, 1, 1)  # of B0: stage 4's feed-forward networks; the head's fusion
HOLDERS = ("student", "source", "average")  # and, once there is one, the version that serves, which is the last good


def alive() -> list[Tensor]:
    """All tensors there are in the process, but for those of a compiler that stand for shapes and hold no memory."""
    gc.collect()
    tensors = (thing for thing in gc.get_objects() if issubclass(type(thing), Tensor))
    return [tensor for tensor in tensors if not issubclass(type(tensor), FakeTensor)]


def addresses(shape: tuple[int, ...]) -> set[int]:
    """Where tensors of this shape lie that are alive anywhere in the process."""
    return {tensor.data_ptr() for tensor in alive() if tuple(tensor.shape) == shape}


@pytest.mark.parametrize("method", ["styled", "frozen"])
def test_student_average_source_and_shadow_share_what_is_frozen(tiny_world, method) -> None:
    before: Mapping[tuple[int, ...], set[int]] = {shape: addresses(shape) for shape in (FROZEN, LEARNT)}
    parts = build(tiny_world.config(adaptation={"method": method}, model={"trainable": "adapters+head"}))
    assert len(addresses(FROZEN) - before[FROZEN]) == 2  # two blocks, one network
    num_learnt = len(addresses(LEARNT) - before[LEARNT])
    assert num_learnt == (len(HOLDERS) if method == "styled" else 2)
    if method == "styled":
        version = parts.weights.publish(adaptable_tensors(parts.model), frame_index=0)
        assert len(addresses(LEARNT) - before[LEARNT]) == len(HOLDERS) + 1
        assert version.tensors.keys() == parts.weights.source.tensors.keys()


def test_all_weights_of_a_run_are_few_more_than_those_of_its_network(tiny_world) -> None:
    """In bytes, of every tensor shaped as one of the network's."""
    before = alive()  # kept, lest their addresses be given out again
    parts = build(tiny_world.config())
    version = parts.weights.publish(adaptable_tensors(parts.model), frame_index=0)
    weights = parts.model.state_dict()
    shapes = {tuple(tensor.shape) for tensor in weights.values() if tensor.is_floating_point()}
    known = {tensor.data_ptr() for tensor in before}
    held = {t.data_ptr(): t.nbytes for t in alive() if tuple(t.shape) in shapes and t.is_floating_point()}
    num_bytes = sum(size for address, size in held.items() if address not in known)
    plain = sum(tensor.nbytes for name, tensor in weights.items() if name not in version.tensors)
    learnt = sum(tensor.nbytes for tensor in version.tensors.values())
    assert plain + 4 * learnt <= num_bytes <= 1.15 * plain


def test_the_frozen_model_a_method_is_given_holds_the_source_weights(tiny_world) -> None:
    """By reference, so it must not follow the student."""
    parts = build(tiny_world.config())
    kept = {name: tensor.clone() for name, tensor in parts.weights.source.tensors.items()}
    with torch.no_grad():
        for tensor in adaptable_tensors(parts.model).values():
            tensor.add_(1.0)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in parts.weights.source.tensors.items())
