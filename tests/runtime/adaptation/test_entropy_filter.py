"""The entropy filter against closed forms."""

import math

import pytest
import torch

from runtime.adaptation.entropy_filter import EntropyFilter, masked_mean


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
