"""The guard accepts what is finite and near, and says why it refuses."""

import pytest
import torch
from torch import nn

from runtime.guard import Guard

MODEL = nn.Identity()
SOURCE = {"a": torch.full((4,), 3.0), "b": torch.full((9,), 4.0)}  # norm sqrt(36 + 144)


def test_the_source_itself_is_accepted() -> None:
    guard = Guard(SOURCE)
    assert guard.drift(SOURCE) == 0.0
    assert guard.refusal(SOURCE, MODEL) == ""


def test_drift_is_relative_to_the_source_norm() -> None:
    moved = {"a": SOURCE["a"] + 3.0, "b": SOURCE["b"]}  # offset norm 6
    assert Guard(SOURCE).drift(moved) == pytest.approx(6.0 / 180**0.5)


def test_drift_from_zero_is_the_root_mean_square() -> None:
    source = {"a": torch.zeros(4), "b": torch.zeros(12)}
    assert Guard(source).drift({"a": torch.full((4,), 2.0), "b": torch.zeros(12)}) == pytest.approx(1.0)


def test_far_weights_are_refused_with_the_figure() -> None:
    refusal = Guard(SOURCE, max_drift=0.5).refusal({name: 2 * tensor for name, tensor in SOURCE.items()}, MODEL)
    assert "1.00" in refusal and "0.5" in refusal


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_a_single_non_finite_value_is_refused(poison: float) -> None:
    poisoned = {name: tensor.clone() for name, tensor in SOURCE.items()}
    poisoned["b"][5] = poison
    assert Guard(SOURCE).refusal(poisoned, MODEL) == "non-finite weights"
