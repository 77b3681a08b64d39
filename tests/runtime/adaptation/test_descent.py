"""Descents go at a share of their rates, are cut where gradients are long, refuse what is not finite, and go on."""

import math

import pytest
import torch
from torch import nn

from runtime.adaptation.descent import Descent, build_descent
from runtime.recipes import Recipe
from tests.runtime.adaptation.samples import make_student


def plain(*, rate: float = 0.5, longest: float = math.inf) -> tuple[nn.Parameter, Descent]:
    """Of x squared from x = 3, whose gradient is 6."""
    x = nn.Parameter(torch.tensor([3.0]))
    return x, Descent(torch.optim.SGD([x], lr=rate), max_gradient_norm=longest)


def go_down(x: nn.Parameter, descent: Descent, *, share: float = 1.0, times: float = 1.0) -> str:
    descent.prepare()
    loss = (times * x.square()).sum()
    return descent.step(loss, float(loss.detach()), rate_share=share)


@pytest.mark.parametrize(("share", "longest", "found"), [(1.0, math.inf, 0.0), (0.2, math.inf, 2.4), (1.0, 2.0, 2.0)])
def test_a_step_is_rate_times_share_times_the_gradient_cut_to_its_longest(share, longest, found) -> None:
    x, descent = plain(longest=longest)
    assert go_down(x, descent, share=share) == ""
    assert float(x.detach()) == pytest.approx(found, abs=1e-5) and descent.learning_rate == 0.5 * share


def test_shares_are_of_the_rates_it_came_with() -> None:
    x, descent = plain()
    for _ in range(3):
        go_down(x, descent, share=0.1)
    assert descent.learning_rate == pytest.approx(0.05)


@pytest.mark.parametrize(("times", "said"), [(math.nan, "loss is nan"), (math.inf, "loss is inf")])
def test_a_loss_that_is_not_finite_moves_nothing(times, said) -> None:
    x, descent = plain()
    assert go_down(x, descent, times=times) == said and float(x.detach()) == 3.0


def test_a_gradient_that_is_not_finite_moves_nothing() -> None:
    x, descent = plain()
    descent.prepare()
    loss = (x - 3).abs().sqrt().sum()  # 0, with an endless slope
    refusal = descent.step(loss, float(loss.detach()), rate_share=1.0)
    assert refusal.startswith("gradient norm is") and float(x.detach()) == 3.0


def test_a_loss_without_a_graph_is_no_error() -> None:
    x, descent = plain()
    assert descent.step(torch.tensor(1.0), 1.0, rate_share=1.0) == "" and float(x.detach()) == 3.0


def test_it_goes_on_from_its_state_and_without_it_after_it_forgot() -> None:
    def made() -> tuple[nn.Parameter, Descent]:
        x = nn.Parameter(torch.tensor([3.0]))
        return x, Descent(torch.optim.SGD([x], lr=0.01, momentum=0.9))

    x, descent = made()
    go_down(x, descent)
    other, resumed = made()
    other.data.copy_(x.data)
    resumed.load_state(descent.state())
    go_down(x, descent)
    go_down(other, resumed)
    assert torch.equal(x, other)
    resumed.forget()
    before = float(other.detach())
    go_down(other, resumed)
    assert before - float(other.detach()) == pytest.approx(0.01, abs=1e-6)  # a gradient of at most 1, without momentum


def test_a_recipe_says_what_moves_and_how_far() -> None:
    student = make_student()
    descent = build_descent(Recipe(optimizer="sgd", max_gradient_norm=2.0), student, learning_rate=1e-3)
    assert {id(p) for p in descent.parameters} == {id(p) for p in student.parameters() if p.requires_grad}
    before = [p.detach().clone() for p in descent.parameters]
    descent.prepare()
    loss = 1e6 * torch.stack([p.square().sum() for p in descent.parameters]).sum()
    assert descent.step(loss, float(loss.detach()), rate_share=1.0) == ""
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(descent.parameters, before, strict=True)])
    assert float(moved.norm()) == pytest.approx(2e-3, rel=1e-3)
