"""The usual layout: right labels are believed, blind ones are not; the estimate is that of a plain implementation."""

# H height, W width, P places, K kinds

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.adaptation.layout import KINDS, NUM_KINDS, NUM_PLACES, place
from runtime.adaptation.usual_layout import BLIND, FIRST_ERROR, ROUNDS, UsualLayout

HEIGHT, WIDTH = 64, 96
ROAD, BUILDING, SKY = 0, 2, 10


def street(horizon=28, *, house=20) -> torch.Tensor:
    """Sky above, road below, a house on the left whose roof is at row 8."""
    label_HW = torch.full((HEIGHT, WIDTH), SKY, dtype=torch.uint8)
    label_HW[horizon:] = ROAD
    label_HW[8 : horizon + 6, :house] = BUILDING
    return label_HW


def streets(num=12) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.stack([street(int(rng.integers(26, 31)), house=int(rng.integers(5, 40))) for _ in range(num)])


def kinds(weight_PHW: torch.Tensor) -> torch.Tensor:
    """(K, H, W)."""
    return torch.stack([weight_PHW[kind == KINDS].sum(0) for kind in range(NUM_KINDS)])


def test_right_labels_are_believed() -> None:
    usual = UsualLayout(streets())
    weight_PHW = usual.weigh(street(29, house=30))
    assert float((weight_PHW * usual.crisp(street(29, house=30))).sum(0).mean()) > 0.97


def test_a_blind_model_is_not_believed() -> None:
    """All is building, says the model; sky and road keep the places where they usually are."""
    usual = UsualLayout(streets())
    kinds_KHW = kinds(usual.weigh(torch.full((HEIGHT, WIDTH), BUILDING, dtype=torch.uint8)))
    assert float(kinds_KHW[0, :6].mean()) > 0.8 and float(kinds_KHW[1, 40:].mean()) > 0.8


def test_what_is_seldom_there_is_believed_where_the_rest_is_right() -> None:
    usual = UsualLayout(streets())
    served_HW = street(29)
    served_HW[:10, 60:90] = BUILDING  # a gantry where there always was sky
    assert float(kinds(usual.weigh(served_HW))[2, 2:8, 65:85].mean()) > 0.5


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_the_weights_of_a_pixel_are_shares_of_it(seed) -> None:
    served_HW = torch.as_tensor(np.random.default_rng(seed).integers(0, 19, (HEIGHT, WIDTH)).astype(np.uint8))
    weight_PHW = UsualLayout(streets(4)).weigh(served_HW)
    assert weight_PHW.shape == (NUM_PLACES, HEIGHT, WIDTH) and float(weight_PHW.min()) >= -1e-6
    assert torch.allclose(weight_PHW.sum(0), torch.ones(HEIGHT, WIDTH), atol=1e-5)


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.4])
def test_the_estimate_is_that_of_a_plain_implementation(wrong) -> None:
    """Pixel by pixel in numpy, from the prior the layout gives where it is told nothing it can believe."""
    rng = np.random.default_rng(1)
    usual = UsualLayout(streets())
    served_HW = street(29)
    served_HW[torch.as_tensor(rng.random((HEIGHT, WIDTH)) < wrong)] = BUILDING
    prior_PX = usual._prior_PHW.flatten(1).numpy().astype(np.float64)
    place_X = place(served_HW, horizon=usual.horizon).crisp().flatten().numpy()
    kind_P, error = KINDS.numpy(), FIRST_ERROR
    for _ in range(ROUNDS):
        posterior = []
        for x, served in enumerate(kind_P[place_X]):
            kinds_K = [
                prior_PX[kind_P == k, x].sum() * (1 - error if k == served else error / 2) for k in range(NUM_KINDS)
            ]
            posterior.append(np.array(kinds_K) / sum(kinds_K))
        error = 1 - np.mean([kinds_K[kind_P[place]] for kinds_K, place in zip(posterior, place_X, strict=True)])
    belief = max(0.0, 1 - error / BLIND)
    found_PX = usual.weigh(served_HW).flatten(1).numpy()
    for x in rng.choice(len(place_X), 50, replace=False):
        kinds_K, own = posterior[x].copy(), place_X[x]
        sure = kinds_K[kind_P[own]] * belief
        kinds_K[kind_P[own]] -= sure
        prior_P = prior_PX[:, x]
        wanted_P = [prior_P[p] * kinds_K[kind_P[p]] / prior_P[kind_P == kind_P[p]].sum() for p in range(NUM_PLACES)]
        wanted_P[own] += sure
        assert found_PX[:, x] == pytest.approx(wanted_P, abs=1e-4)
