"""Losses against closed forms."""

import math

import pytest
import torch

from models.losses import (
    cross_entropy,
    mean_negative_log_probability,
    pixel_entropy,
    reverse_cross_entropy,
    shrink_labels,
    soft_cross_entropies,
    soft_cross_entropy,
    soft_entropy,
    soft_likelihood_ratios,
    symmetric_cross_entropies,
    weighted_cross_entropy,
)


def test_uniform_logits_cost_log_k() -> None:
    labels = torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)
    assert cross_entropy(torch.zeros(1, 5, 2, 2), labels).item() == pytest.approx(math.log(5))


def test_ignored_pixels_do_not_count() -> None:
    logits = torch.randn(1, 4, 2, 2)
    labels = torch.tensor([[[3, 255], [255, 255]]])
    expected = -torch.log_softmax(logits[0, :, 0, 0], dim=0)[3]
    torch.testing.assert_close(cross_entropy(logits, labels), expected)


def test_no_valid_pixel_costs_nothing_and_has_a_finite_gradient() -> None:
    logits = torch.randn(1, 4, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_class_weights_scale_terms_but_not_the_divisor() -> None:
    labels = torch.tensor([[[0, 1]]])
    loss = cross_entropy(torch.zeros(1, 2, 1, 2), labels, class_weights_K=torch.tensor([3.0, 1.0]))
    assert loss.item() == pytest.approx((3 + 1) * math.log(2) / 2)


def test_weighted_loss_averages_over_all_pixels() -> None:
    labels = torch.tensor([[[0, 1, 255, 0]]])
    weights = torch.tensor([[[1.0, 0.5, 1.0, 0.0]]])
    loss = weighted_cross_entropy(torch.zeros(1, 2, 1, 4), labels, weights)
    assert loss.item() == pytest.approx(1.5 * math.log(2) / 4)


def test_memory_layout_does_not_matter() -> None:
    logits, labels = torch.randn(2, 6, 4, 5), torch.randint(0, 6, (2, 4, 5))
    strided = logits.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(cross_entropy(logits, labels), cross_entropy(strided, labels))
    torch.testing.assert_close(cross_entropy(logits, labels), torch.nn.functional.cross_entropy(logits, labels))


def test_entropy_of_uniform_and_certain_logits() -> None:
    assert soft_entropy(torch.zeros(1, 19, 2, 2)).item() == pytest.approx(math.log(19))
    certain = torch.zeros(1, 19, 2, 2)
    certain[:, 3] = 1000.0
    assert soft_entropy(certain).item() == pytest.approx(0.0)


def test_entropy_of_a_pixel_that_wavers_between_two_classes() -> None:
    logits = torch.tensor([0.75, 0.25]).log()[None, :, None, None].repeat(1, 1, 1, 2)
    logits[..., 1] = 0.0  # a guess beside it
    expected = torch.tensor([[[-0.75 * math.log(0.75) - 0.25 * math.log(0.25), math.log(2)]]])
    torch.testing.assert_close(pixel_entropy(logits), expected)


def test_soft_cross_entropy_against_itself_is_the_entropy() -> None:
    logits = torch.randn(2, 5, 3, 3)
    torch.testing.assert_close(soft_cross_entropy(logits, logits.softmax(dim=1)), soft_entropy(logits))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_shrunk_labels_are_those_under_the_centres(dtype: torch.dtype) -> None:
    labels = torch.arange(8 * 12).view(1, 8, 12).to(dtype)
    small = shrink_labels(labels, (2, 3))
    assert small.dtype == dtype
    assert torch.equal(small, labels[:, 2::4, 2::4])
    assert shrink_labels(labels, (8, 12)) is labels


def test_shrinking_by_a_broken_factor_stays_inside() -> None:
    labels = torch.arange(45 * 7).view(1, 45, 7)
    small = shrink_labels(labels, (12, 2))
    assert small.shape == (1, 12, 2)
    assert small.max() < 45 * 7


def test_soft_likelihood_ratio_at_known_probabilities() -> None:
    """For two classes p log(p / q) + q log(q / p) = (p - q) log(p / q); for even ones -log(1 / (K - 1))."""
    logits = torch.tensor([0.8, 0.2]).log()[None, :, None, None]
    assert float(soft_likelihood_ratios(logits)) == pytest.approx(-0.6 * math.log(4.0), abs=1e-4)
    assert float(soft_likelihood_ratios(torch.zeros(1, 5, 1, 1))) == pytest.approx(math.log(4.0), abs=1e-4)


def test_soft_likelihood_ratio_keeps_its_pull_where_entropy_loses_it() -> None:
    """d/dl of -(2p - 1) l, p = sigmoid(l), is -(2 p q l + 2p - 1): -1.2 at p = 0.95, where entropy has -0.14."""
    odds = math.log(0.95 / 0.05)
    logits = torch.tensor([odds, 0.0])[None, :, None, None].requires_grad_()
    (gradient,) = torch.autograd.grad(soft_likelihood_ratios(logits).sum(), logits)
    assert float(gradient[0, 0]) == pytest.approx(-(2 * 0.95 * 0.05 * odds + 0.9), abs=1e-3)
    sure = torch.tensor([9.0, 0.0])[None, :, None, None].requires_grad_()
    (gradient,) = torch.autograd.grad(soft_likelihood_ratios(sure, clip=0.99).sum(), sure)
    assert abs(float(gradient[0, 0])) < 0.01  # nothing more to learn above the clip


def test_symmetric_cross_entropy_is_half_of_each() -> None:
    p, q = torch.tensor([0.7, 0.3]), torch.tensor([0.4, 0.6])
    expected = -0.5 * (0.7 * math.log(0.4) + 0.3 * math.log(0.6) + 0.4 * math.log(0.7) + 0.6 * math.log(0.3))
    logs = [x.log()[None, :, None, None].expand(1, 2, 3, 2) for x in (p, q)]
    for one, other in (logs, logs[::-1]):
        assert torch.allclose(symmetric_cross_entropies(one, other), torch.tensor(expected))


def test_soft_cross_entropies_are_by_pixel() -> None:
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
    losses = soft_cross_entropies(logits, targets)
    assert losses.shape == (2, 4, 5)
    assert float(losses.mean()) == pytest.approx(float(soft_cross_entropy(logits, targets)))


def test_reverse_cross_entropy_is_the_price_of_all_that_is_not_the_label() -> None:
    """-sum_k p_k log q_k with q one-hot and 1e-4 for 0: -log 1e-4 times 1 - p_y, over labelled pixels."""
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [0.1, 0.1, 0.8]])).T[None, :, None]
    labels = torch.tensor([[[0, 2, 255]]], dtype=torch.uint8)
    assert float(reverse_cross_entropy(logits, labels)) == pytest.approx(-math.log(1e-4) * (0.3 + 0.5) / 2, rel=1e-5)
    assert float(reverse_cross_entropy(logits, torch.full_like(labels, 255))) == 0.0


def test_mean_negative_log_probability_is_least_for_a_guess() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]])).T[None, :, None]
    expected = -sum(math.log(p) for p in (0.7, 0.2, 0.1, 0.5, 0.25, 0.25)) / 6
    assert float(mean_negative_log_probability(logits)) == pytest.approx(expected, rel=1e-5)
    assert float(mean_negative_log_probability(torch.zeros(1, 3, 1, 2))) == pytest.approx(math.log(3))


def test_what_the_loss_is_divided_by() -> None:
    """Two labelled pixels of four, weights 3 and 1: the sum (3 + 1) log 2 over 4, 2 and 4."""
    labels, weights = torch.tensor([[[0, 1, 255, 255]]]), torch.tensor([3.0, 1.0])
    logits = torch.zeros(1, 2, 1, 4)
    for norm, divisor in (("all", 4), ("valid", 2), ("weight", 4)):
        loss = cross_entropy(logits, labels, class_weights_K=weights, norm=norm)
        assert loss.item() == pytest.approx(4 * math.log(2) / divisor)
    torch_mean = torch.nn.functional.cross_entropy(logits, labels, weight=weights, ignore_index=255)
    assert cross_entropy(logits, labels, class_weights_K=weights, norm="weight").item() == pytest.approx(
        float(torch_mean)
    )
    assert cross_entropy(logits, labels, norm="all").item() == pytest.approx(2 * math.log(2) / 4)
    assert cross_entropy(logits, labels, norm="weight").item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("norm", ["all", "valid", "weight"])
def test_no_divisor_is_ever_zero(norm: str) -> None:
    logits = torch.randn(1, 2, 2, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 2, 2), 255), class_weights_K=torch.tensor([0.0, 1.0]), norm=norm)
    loss.backward()
    assert loss.item() == 0.0 and torch.equal(logits.grad, torch.zeros_like(logits))
