"""The guard accepts what is finite and near, and says why it refuses."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from runtime.guard import Guard
from runtime.probe import ProbeReading

MODEL = nn.Identity()
SOURCE = {"a": torch.full((4,), 3.0), "b": torch.full((9,), 4.0)}  # norm sqrt(36 + 144)


def test_the_source_itself_is_accepted() -> None:
    guard = Guard(SOURCE)
    assert guard.drift(SOURCE) == 0.0
    assert guard.refusal(SOURCE, MODEL) == ""


def test_drift_is_relative_to_the_source_norm() -> None:
    moved = {"a": SOURCE["a"] + 3.0, "b": SOURCE["b"]}  # offset norm 6
    assert Guard(SOURCE).drift(moved) == pytest.approx(6.0 / 180**0.5)


def test_drift_from_zero_is_told_in_the_network_s_own_norm() -> None:
    source = {"a": torch.zeros(4), "b": torch.zeros(12)}
    network = nn.Linear(4, 4, bias=False).requires_grad_(False)
    network.weight.fill_(2.0)  # norm 8
    moved = {"a": torch.full((4,), 2.0), "b": torch.zeros(12)}  # offset norm 4
    assert Guard(source, network=network).drift(moved) == pytest.approx(0.5)


def test_far_weights_are_refused_with_the_figure() -> None:
    refusal = Guard(SOURCE, max_drift=0.5).refusal({name: 2 * tensor for name, tensor in SOURCE.items()}, MODEL)
    assert "1.00" in refusal and "0.5" in refusal


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_a_single_non_finite_value_is_refused(poison: float) -> None:
    poisoned = {name: tensor.clone() for name, tensor in SOURCE.items()}
    poisoned["b"][5] = poison
    assert Guard(SOURCE).refusal(poisoned, MODEL) == "non-finite weights"


class Reading:
    """A probe that has read this."""

    def __init__(self, reading: ProbeReading) -> None:
        self._reading = reading

    def read(self, _: nn.Module) -> ProbeReading:
        return self._reading


SOUND = ProbeReading(newest_agreement=0.5, agreement=0.8, miou=0.27, miou_frozen=0.45, lost_class=None)


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        ({}, ""),
        ({"newest_agreement": 0.49}, "agrees with frozen on 49% of one source sample"),
        ({"agreement": 0.79}, "agrees with frozen on 79% of source samples"),
        ({"lost_class": 0}, "class 0 is gone from its answers to source samples"),
        ({"miou": 0.26}, "26.0 mIoU on source samples, frozen 45.0"),
    ],
)
def test_each_limit_refuses_by_itself_and_admits_what_stands_on_it(found, refusal) -> None:
    assert Guard(SOURCE, probe=Reading(replace(SOUND, **found))).refusal(SOURCE, MODEL) == refusal
