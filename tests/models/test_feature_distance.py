"""Cells of things and the distance over them, counted by hand."""

import math

import pytest
import torch

from models.feature_distance import feature_distance, thing_cells


def test_a_cell_counts_where_one_thing_fills_three_quarters_of_it() -> None:
    labels_BHW = torch.zeros((1, 4, 12), dtype=torch.uint8)  # three cells of 4x4: road at first
    labels_BHW[:, :3, :4] = 13  # twelve of sixteen pixels: car
    labels_BHW[:, :3, 4:7] = 13  # nine of sixteen
    labels_BHW[:, :, 8:] = 2  # building is no thing
    assert thing_cells(labels_BHW, (1, 3), num_classes=19).tolist() == [[[True, False, False]]]
    assert thing_cells(labels_BHW, (1, 3), num_classes=19, min_share=0.5).tolist() == [[[True, True, False]]]
    assert thing_cells(labels_BHW, (1, 3), num_classes=19, things=(2,)).tolist() == [[[False, False, True]]]


def test_ignored_pixels_are_no_thing_and_classes_beyond_the_models_are_passed_over() -> None:
    labels_BHW = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    assert not thing_cells(labels_BHW, (1, 1), num_classes=19).any()
    assert not thing_cells(torch.zeros((1, 4, 4), dtype=torch.uint8), (1, 1), num_classes=4).any()


def test_the_distance_is_the_mean_norm_over_chosen_cells() -> None:
    features = torch.zeros((1, 2, 1, 3))
    fixed = torch.tensor([[[[3.0, 1.0, 100.0]], [[4.0, 0.0, 100.0]]]])  # norms 5, 1, 141
    cells = torch.tensor([[[True, True, False]]])
    assert float(feature_distance(features, fixed, cells)) == pytest.approx((5 + 1) / 2)


def test_equal_features_and_no_cells_give_zero_with_finite_gradients() -> None:
    features = torch.ones((1, 2, 1, 2), requires_grad=True)
    cells = torch.tensor([[[True, True]]])
    for fixed, chosen in ((torch.ones(1, 2, 1, 2), cells), (torch.zeros(1, 2, 1, 2), ~cells)):
        features.grad = None
        loss = feature_distance(features, fixed, chosen)
        loss.backward()
        assert float(loss.detach()) == 0.0 and bool((features.grad == 0).all())


def test_the_gradient_is_the_unit_vector_between() -> None:
    features = torch.zeros((1, 2, 1, 1), requires_grad=True)
    feature_distance(features, torch.tensor([[[[3.0]], [[4.0]]]]), torch.ones((1, 1, 1), dtype=torch.bool)).backward()
    assert features.grad.flatten().tolist() == pytest.approx([-0.6, -0.8])
    assert math.hypot(*features.grad.flatten().tolist()) == pytest.approx(1.0)
