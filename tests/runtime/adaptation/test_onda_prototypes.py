"""Prototypes against means taken from the list of all pixels, and labels worked out by hand."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from runtime.adaptation.onda_prototypes import Prototypes
from runtime.state import flatten, unflatten

CPU = torch.device("cpu")
UNIFORM = torch.full((1, 2, 1, 1), 0.5)


def pixels(values: list[list[float]]) -> Tensor:
    """Features (1, E, 1, N) of N pixels."""
    return torch.tensor(values).T[None, :, None]


def taken(labels: list[int]) -> Tensor:
    return torch.tensor(labels, dtype=torch.uint8)[None, None]


def two_classes() -> Prototypes:
    """Class 0 around (0, 0), class 1 around (2, 0); first feature 0 +- 1 and 2 +- 1, second +- 1 in both.

    Over all eight pixels the first has mean 1 and variance 2, the second mean 0 and variance 1.
    """
    prototypes = Prototypes(2, 2, device=CPU)
    corners = [[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
    prototypes.add(pixels(corners), taken([0] * 4))
    prototypes.add(pixels([[x + 2, y] for x, y in corners]), taken([1] * 4))
    return prototypes


def test_probabilities_by_hand() -> None:
    """A pixel at (0.5, 1): sqrt(0.125 + 1) from class 0 and sqrt(1.125 + 1) from class 1, in deviations."""
    near, far = math.exp(-math.sqrt(1.125)), math.exp(-math.sqrt(2.125))
    p_BKHW = two_classes().probabilities(pixels([[0.5, 1.0]]), UNIFORM)
    assert p_BKHW.flatten().tolist() == pytest.approx([near / (near + far), far / (near + far)], rel=1e-4)
    prior = torch.tensor([0.2, 0.8]).view(1, 2, 1, 1)
    p_BKHW = two_classes().probabilities(pixels([[0.5, 1.0]]), prior)
    both = 0.2 * near + 0.8 * far
    assert p_BKHW.flatten().tolist() == pytest.approx([0.2 * near / both, 0.8 * far / both], rel=1e-4)


def test_labels_need_a_probability_of_three_tenths() -> None:
    """Four equal classes share a pixel between them: 0.25 each is too little, 0.3 for one of them is enough."""
    prototypes = Prototypes(4, 1, device=CPU)
    prototypes.add(pixels([[-1.0], [1.0]] * 4), taken([0, 0, 1, 1, 2, 2, 3, 3]))
    for prior, label in (([0.25, 0.25, 0.25, 0.25], 255), ([0.2, 0.2, 0.35, 0.25], 2)):
        assert prototypes.labels(pixels([[0.3]]), torch.tensor(prior).view(1, 4, 1, 1)).item() == label


def test_classes_the_source_never_showed_get_no_pixel() -> None:
    prototypes = Prototypes(3, 1, device=CPU)
    prototypes.add(pixels([[-1.0], [3.0]]), taken([0, 1]))
    p_BKHW = prototypes.probabilities(pixels([[0.0]]), torch.tensor([0.01, 0.01, 0.98]).view(1, 3, 1, 1))
    assert float(p_BKHW[0, 2]) == 0.0 and float(p_BKHW.sum()) == pytest.approx(1.0)
    prototypes.follow(pixels([[5.0]]), taken([2]))
    assert float(prototypes.means_KE[2]) == 0.0


def test_a_feature_that_never_varied_is_left_out() -> None:
    prototypes = Prototypes(2, 2, device=CPU)
    prototypes.add(pixels([[-1.0, 0.5], [1.0, 0.5]]), taken([0, 1]))
    moved = prototypes.probabilities(pixels([[0.2, 9.0]]), UNIFORM)
    assert torch.isfinite(moved).all() and torch.equal(moved, prototypes.probabilities(pixels([[0.2, 0.5]]), UNIFORM))


def test_following_moves_present_classes_by_their_share() -> None:
    prototypes = two_classes()
    prototypes.follow(pixels([[10.0, 4.0], [20.0, 4.0], [99.0, 99.0]]), taken([1, 1, 255]))
    assert prototypes.means_KE[0].tolist() == [0.0, 0.0]
    assert prototypes.means_KE[1].tolist() == pytest.approx([2 + 0.0005 * 13, 0.0005 * 4], rel=1e-4)


def test_nothing_known_and_nothing_likely_stays_finite() -> None:
    empty = Prototypes(2, 1, device=CPU)
    assert empty.labels(pixels([[1.0]]), UNIFORM).item() == 255
    p_BKHW = two_classes().probabilities(pixels([[1e4, 1e4]]), torch.tensor([0.0, 1.0]).view(1, 2, 1, 1))
    assert p_BKHW.flatten().tolist() == pytest.approx([0.0, 1.0])


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-8, 8), st.sampled_from([0, 1, 2, 255])), min_size=1, max_size=8),
        min_size=1,
        max_size=6,
    )
)
def test_means_are_those_of_all_pixels_whatever_they_came_in(batches: list[list[tuple[int, int]]]) -> None:
    prototypes = Prototypes(3, 1, device=CPU)
    for batch in batches:
        prototypes.add(pixels([[float(value)] for value, _ in batch]), taken([label for _, label in batch]))
    for label in range(3):
        values = [value for batch in batches for value, own in batch if own == label]
        expected = sum(values) / len(values) if values else 0.0
        assert float(prototypes.means_KE[label]) == pytest.approx(expected, abs=1e-4)


def test_they_go_on_bit_for_bit_from_their_state() -> None:
    prototypes, other = two_classes(), Prototypes(2, 2, device=CPU)
    prototypes.follow(pixels([[0.5, 0.1]]), taken([0]))
    other.load_state(unflatten(*flatten(prototypes.state())))
    more = pixels([[0.3, -0.7], [1.4, 0.2]])
    for each in (prototypes, other):
        each.follow(more, taken([1, 0]))
    assert torch.equal(prototypes.means_KE, other.means_KE)
    assert torch.equal(prototypes.probabilities(more, UNIFORM), other.probabilities(more, UNIFORM))
    with pytest.raises(ValueError, match="not the state of prototypes"):
        other.load_state(json.loads("{}"))
