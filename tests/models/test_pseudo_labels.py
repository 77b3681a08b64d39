"""Which pseudo-labels are believed, against worked examples."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pseudo_labels import core_pixels, prototype_loss, sure_of_class


def test_the_surest_half_of_every_class_is_kept_above_the_floor() -> None:
    """Class 0 keeps 2 of 4 pixels, class 1 two of three, class 2 is below the floor of 0.6 throughout."""
    labels = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 2, 2, 255]]])
    confidence = torch.tensor([[[0.9, 0.7, 0.8, 0.99, 0.61, 0.65, 0.7, 0.5, 0.59, 0.99]]])
    kept = sure_of_class(confidence, labels, num_classes=3)
    assert kept[0, 0].tolist() == [True, False, False, True, False, True, True, False, False, False]


def test_thresholds_are_of_each_image() -> None:
    labels = torch.zeros(2, 1, 4, dtype=torch.uint8)
    confidence = torch.tensor([[[0.9, 0.8, 0.7, 0.65]], [[0.61, 0.62, 0.63, 0.64]]])
    kept = sure_of_class(confidence, labels, num_classes=3)
    assert kept[:, 0].tolist() == [[True, True, False, False], [False, False, True, True]]


def test_pixels_as_sure_as_the_last_one_kept_are_kept_too() -> None:
    kept = sure_of_class(torch.full((1, 2, 5), 0.8), torch.ones(1, 2, 5, dtype=torch.int64), num_classes=2)
    assert bool(kept.all())


@settings(max_examples=30)
@given(st.integers(1, 60), st.floats(0.01, 1.0), st.integers(0, 2**32))
def test_of_a_class_the_ceiling_of_its_share_is_kept(num, share, seed) -> None:
    order = torch.randperm(num, generator=torch.Generator().manual_seed(seed))
    confidence = (order + 1.0).reshape(1, 1, num) / num
    kept = sure_of_class(confidence, torch.zeros(1, 1, num, dtype=torch.int64), num_classes=1, share=share, floor=0.0)
    assert int(kept.sum()) == math.ceil(share * num)
    assert not kept.any() or kept.all() or float(confidence[kept].min()) > float(confidence[~kept].max())


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_shares_that_are_none_are_refused(share) -> None:
    with pytest.raises(ValueError, match=r"pseudo_labels\.share must be in"):
        sure_of_class(torch.ones(1, 1, 1), torch.zeros(1, 1, 1, dtype=torch.int64), num_classes=1, share=share)


def test_core_pixels_are_sure_and_called_the_same_from_the_mirror() -> None:
    confidence = torch.tensor([[[0.95, 0.95, 0.9, 0.5]]])
    labels, mirrored = torch.tensor([[[1, 1, 1, 1]]]), torch.tensor([[[1, 2, 1, 1]]])
    assert core_pixels(confidence, labels, mirrored)[0, 0].tolist() == [True, False, False, False]


def test_core_pixels_pay_for_distance_and_boundary_pixels_for_direction() -> None:
    """Prototype (3, 4) of class 0. Core at (3, 0): 16 / 25. Boundary at (6, 8): 0; at (4, -3): 1; at (-3, -4): 2."""
    embedding = torch.tensor([[3.0, 0], [6, 8], [4, -3], [-3, -4]]).T.reshape(1, 2, 1, 4)
    is_core = torch.tensor([[[True, False, False, False]]])
    labels = torch.zeros(1, 1, 4, dtype=torch.int64)
    loss = prototype_loss(embedding, labels, is_core, torch.tensor([[3.0, 4.0]]), is_known_K=torch.tensor([True]))
    assert float(loss) == pytest.approx((0.64 + 0 + 1 + 2) / 4, rel=1e-5)


def test_boundary_pixels_are_turned_and_not_stretched() -> None:
    """A boundary pixel's gradient is at right angles to its embedding, a core pixel's points at the prototype."""
    labels, known = torch.zeros(1, 1, 1, dtype=torch.int64), torch.tensor([True])
    prototype, start = torch.tensor([[1.0, 3.0]]), torch.tensor([2.0, 1.0])
    gradients = []
    for is_core in (False, True):
        embedding = start.reshape(1, 2, 1, 1).clone().requires_grad_()
        core = torch.full((1, 1, 1), is_core)
        prototype_loss(embedding, labels, core, prototype, is_known_K=known).backward()
        gradients.append(embedding.grad.flatten())
    assert float(gradients[0] @ start) == pytest.approx(0.0, abs=1e-6) and float(gradients[0].norm()) > 0.1
    torch.testing.assert_close(gradients[1], 2 * (start - prototype[0]) / 10)


def test_classes_without_a_prototype_and_ignored_pixels_do_not_count() -> None:
    embedding = torch.ones(1, 2, 1, 3, requires_grad=True)
    labels, core = torch.tensor([[[0, 1, 255]]]), torch.ones(1, 1, 3, dtype=torch.bool)
    prototypes, known = torch.tensor([[1.0, 0.0], [5.0, 5.0]]), torch.tensor([True, False])
    assert float(prototype_loss(embedding, labels, core, prototypes, is_known_K=known).detach()) == pytest.approx(1.0)
    nothing = prototype_loss(embedding, labels, core, prototypes, is_known_K=torch.zeros(2, dtype=torch.bool))
    nothing.backward()
    assert float(nothing.detach()) == 0.0 and not embedding.grad.any()
