"""The entropy filter against closed forms."""

import math

import pytest
import torch

from runtime.adaptation.entropy_filter import EntropyFilter, SureEntropy, masked_mean
from runtime.adaptation.method import Materials
from tests.runtime.adaptation.samples import Painted, make_student, make_target, materials


def test_the_margin_is_a_share_of_the_entropy_of_a_guess() -> None:
    assert EntropyFilter.of_classes(1000).margin == pytest.approx(2.7631, abs=1e-4)
    assert EntropyFilter.of_classes(19, share=1.0).margin == pytest.approx(math.log(19))


def test_below_the_margin_answers_are_reliable_and_count_more_the_surer_they_are() -> None:
    entropy = torch.tensor([[[0.0, 0.5, 1.0, 1.5]]])
    chosen = EntropyFilter(1.0)
    assert chosen.is_reliable(entropy).tolist() == [[[True, True, False, False]]]
    torch.testing.assert_close(chosen.weights(entropy), torch.tensor([[[math.e, math.e**0.5, 1.0, math.e**-0.5]]]))


def test_weights_are_constants() -> None:
    entropy = torch.tensor([[[0.25]]], requires_grad=True)
    (EntropyFilter(1.0).weights(entropy) * entropy).sum().backward()
    assert entropy.grad is not None and entropy.grad.item() == pytest.approx(math.exp(0.75))


def test_the_mean_is_over_the_mask_alone() -> None:
    values = torch.tensor([[[1.0, 2.0, math.nan]]], requires_grad=True)
    mean = masked_mean(values, torch.tensor([[[True, True, False]]]))
    mean.backward()
    assert mean.item() == 1.5 and values.grad is not None and values.grad.tolist() == [[[0.5, 0.5, 0.0]]]


def test_an_empty_mask_costs_nothing_and_pulls_nowhere() -> None:
    values = torch.tensor([[[1.0]]], requires_grad=True)
    mean = masked_mean(values, torch.tensor([[[False]]]))
    mean.backward()
    assert mean.item() == 0.0 and values.grad is not None and values.grad.item() == 0.0


def test_as_a_term_it_makes_sure_pixels_surer_and_leaves_unsure_ones_out() -> None:
    """Of 0.97 sure H = 0.168 nats, below 0.4 ln 4 = 0.555; a guess is above."""
    p_KW = torch.tensor([[0.97, 0.25], [0.01, 0.25], [0.01, 0.25], [0.01, 0.25]])
    student = Painted(p_KW.log()[None, :, None, :].contiguous())
    loss = SureEntropy(given(), weight=2.0).loss(student, make_target())
    assert loss is not None
    entropy, margin = -(0.97 * math.log(0.97) + 0.03 * math.log(0.01)), 0.4 * math.log(4)
    assert loss.item() == pytest.approx(2.0 * entropy * math.exp(margin - entropy), rel=1e-5)
    loss.backward()
    gradient_KW = student.logits_1KHW.grad[0, :, 0]
    assert gradient_KW[0, 0] < 0 and bool((gradient_KW[:, 1] == 0).all())


def test_as_a_term_it_has_nothing_to_say_where_all_is_a_guess() -> None:
    assert SureEntropy(given(), weight=1.0).loss(Painted(torch.zeros(1, 4, 1, 2)), make_target()) is None


def given() -> Materials:
    return materials(make_student())
