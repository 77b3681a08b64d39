"""Robust batch norm against torch's own batch norm, which keeps the same average."""

import copy

import pytest
import torch
from torch import Tensor

from models.segformer import SegmentationModel
from runtime.adaptation.robust_norm import NormStatistics, answer
from tests.runtime.adaptation.samples import make_student

X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> SegmentationModel:
    student = make_student()
    with torch.no_grad():  # of a freshly built batch norm every default hides a mistake
        student.head.bn.running_mean.uniform_(-0.5, 0.5)
        student.head.bn.running_var.uniform_(0.5, 2.0)
    return student


@torch.no_grad()
def test_statistics_move_as_torchs_batch_norm_moves_its_own(model: SegmentationModel) -> None:
    features = model.encoder(X)
    moved = NormStatistics.of(model.head).towards(model.head, features, share=0.05)
    reference = copy.deepcopy(model.head)
    reference.bn.train().momentum = 0.05
    reference.embed_plainly(features)
    assert torch.allclose(moved.mean_E, reference.bn.running_mean, atol=1e-6)
    assert torch.allclose(moved.var_E, reference.bn.running_var, rtol=1e-5)


@torch.no_grad()
def test_the_answer_is_normalised_by_the_moved_statistics(model: SegmentationModel) -> None:
    features = model.encoder(X)
    before = model(X)
    moved = NormStatistics.of(model.head).towards(model.head, features, share=0.5)
    reference = copy.deepcopy(model)
    reference.head.bn.running_mean.copy_(moved.mean_E)
    reference.head.bn.running_var.copy_(moved.var_E)
    assert torch.allclose(answer(model.head, features, moved), reference(X), atol=1e-6)
    assert torch.equal(model(X), before) and not torch.allclose(before, reference(X), atol=1e-3)


def test_gradients_pass_through_the_batchs_part(model: SegmentationModel) -> None:
    """With share 1 the output does not feel a shift of what is normalised; with 0 it does."""

    def shift_gradient(share: float) -> Tensor:
        model.zero_grad()
        features = model.encoder(X)
        statistics = NormStatistics.of(model.head).towards(model.head, features, share=share)
        answer(model.head, features, statistics).pow(2).sum().backward()
        gradient = model.head.linear_c[0].bias.grad
        assert gradient is not None
        return gradient.abs().max()

    assert float(shift_gradient(1.0)) < 1e-3 * float(shift_gradient(0.0))
