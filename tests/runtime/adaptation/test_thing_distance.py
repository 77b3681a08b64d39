"""The feature distance: on source samples, on things, and without a static teacher at weight 0."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.zoo import build_model
from replay.buffer import ReplayBuffer
from runtime.adaptation.components import joined
from runtime.adaptation.methods import METHODS
from runtime.adaptation.thing_distance import ThingDistance
from tests.runtime.adaptation.samples import make_student, make_target, materials

CAR, ROAD = 13, 0
B0_BYTES = 14_000_000  # 3.7 million parameters


def source(label, size_HW=(64, 64)):
    replay = ReplayBuffer(size_HW, capacity_bytes=2**20, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    replay.add(rng.integers(0, 256, (*size_HW, 3), dtype=np.uint8), np.full(size_HW, label, np.uint8))
    return replay


def streets():
    """A student of nineteen classes of which everything learns, and one that stays as it was."""
    torch.manual_seed(0)
    return [build_model("segformer_b0", num_classes=19).eval() for _ in range(2)]


def shifted(model, by):
    """The last stage's output moves by `by` in every channel."""
    with torch.no_grad():
        model.encoder.stages[3].norm.bias.add_(by)
    return model


def live_bytes():
    gc.collect()
    tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def test_it_is_the_weighted_euclidean_distance_over_channels() -> None:
    """256 channels that each moved by 0.5 are sqrt(256) 0.5 = 8 apart."""
    student, _ = streets()
    given = replace(materials(student), replay=source(CAR))
    term = ThingDistance(given, make_static=lambda: shifted(build_copy(student), 0.5))
    assert float(term.loss(student, make_target()).detach()) == pytest.approx(0.005 * 8.0, rel=1e-4)


def build_copy(model):
    twin = build_model("segformer_b0", num_classes=19).eval()
    twin.load_state_dict(model.state_dict())
    return twin


def test_by_default_the_source_model_is_the_static_one() -> None:
    student, _ = streets()
    term = ThingDistance(replace(materials(student), replay=source(CAR)))
    loss = term.loss(student, make_target())
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert all(bool(torch.isfinite(p.grad).all()) for p in student.encoder.parameters() if p.grad is not None)


def test_samples_without_things_teach_nothing() -> None:
    student, _ = streets()
    assert ThingDistance(replace(materials(student), replay=source(ROAD))).loss(student, make_target()) is None


def test_at_weight_zero_no_static_teacher_is_built_and_no_memory_of_it_is_held() -> None:
    student = make_student()
    given, built = materials(student), []

    def make_static() -> nn.Module:
        built.append(True)
        return build_model("segformer_b0", num_classes=4)

    before = live_bytes()
    without = ThingDistance(given, weight=0.0, make_static=make_static)
    assert not built and live_bytes() == before and without.loss(student, make_target()) is None
    with_one = ThingDistance(given, weight=0.005, make_static=make_static)
    assert built and live_bytes() - before > B0_BYTES
    del with_one
    assert live_bytes() == before


def test_joined_at_weight_zero_a_method_is_what_it_was() -> None:
    assert joined(METHODS["styled"], {"things": 0.0}) is METHODS["styled"]
