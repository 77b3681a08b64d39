"""Places read off labels: sky, ground by row, and what stands on the ground by where it touches it."""

# H height, W width

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.adaptation.layout import NUM_DEPTHS, NUM_PLACES, Places, horizon, place

ROAD, BUILDING, SKY, CAR = 0, 2, 10, 13
HEIGHT, WIDTH, HORIZON = 64, 32, 31
NEAREST_GROUND, NEAREST_UPRIGHT = 1, 1 + NUM_DEPTHS


def street() -> torch.Tensor:
    """Sky over buildings over a road that begins below row 31."""
    label_HW = torch.full((HEIGHT, WIDTH), BUILDING, dtype=torch.uint8)
    label_HW[:10], label_HW[HORIZON + 1 :] = SKY, ROAD
    return label_HW


def position(places: Places, row: int, column: int = 0) -> float:
    """Place as a number, whole at a place and between two of them otherwise."""
    first, share = places.first_HW[row, column], places.share_HW[row, column]
    return float(first + share * (places.second_HW[row, column] - first))


def test_the_horizon_is_where_ground_begins() -> None:
    assert horizon(torch.stack([street(), street()])) == HORIZON + 1
    rare = torch.full((4, HEIGHT, WIDTH), BUILDING, dtype=torch.uint8)
    rare[0, 20:30] = ROAD
    assert horizon(rare) == 20 and horizon(rare[1:]) == HEIGHT // 2


def test_every_doubling_of_distance_is_one_step_of_the_same_length() -> None:
    """Rows below the horizon are in proportion to one over distance: 32, 16, 8, 4 and 2 rows."""
    places = place(street(), horizon=HORIZON)
    found = [position(places, HORIZON + rows) for rows in (32, 16, 8, 4, 2)]
    assert found == pytest.approx([NEAREST_GROUND + step * (NUM_DEPTHS - 1) / 4 for step in range(5)], abs=1e-4)


def test_what_stands_on_the_ground_is_as_far_as_the_point_it_touches() -> None:
    label_HW = street()
    label_HW[12:39, 5] = CAR
    places = place(label_HW, horizon=HORIZON)
    expected = NEAREST_UPRIGHT + position(places, 39, 5) - NEAREST_GROUND
    assert [position(places, row, 5) for row in (12, 30, 38)] == pytest.approx([expected] * 3, abs=1e-5)
    assert position(places, 20, 6) > expected  # the house behind touches the ground farther off


def test_what_the_lower_edge_cuts_off_is_near_and_the_sky_is_a_place_of_its_own() -> None:
    label_HW = street()
    label_HW[12:, 7] = CAR
    places = place(label_HW, horizon=HORIZON)
    assert position(places, 12, 7) == position(places, HEIGHT - 1, 7) == NEAREST_UPRIGHT
    assert set(places.crisp()[:10].flatten().tolist()) == {0}


@given(st.integers(0, 2**32 - 1), st.integers(0, HEIGHT - 5))
def test_places_of_any_label_are_neighbours_of_one_kind(seed: int, at: int) -> None:
    label_HW = torch.randint(0, 20, (HEIGHT, WIDTH), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    places = place(label_HW, horizon=at)
    first, second, is_sky = places.first_HW, places.second_HW, label_HW == SKY
    assert bool((first[is_sky] == 0).all()) and bool((second[~is_sky] - first[~is_sky] == 1).all())
    is_ground = (label_HW == 0) | (label_HW == 1) | (label_HW == 9)
    assert bool(((second <= NUM_DEPTHS) == (is_ground | is_sky)).all()) and int(second.max()) < NUM_PLACES
    assert float(places.share_HW.min()) >= 0 and float(places.share_HW.max()) <= 1


def test_values_are_interpolated_along_depth_and_not_between_kinds() -> None:
    places = place(street(), horizon=HORIZON)
    spread_HW = places.spread(torch.arange(float(NUM_PLACES))[None])[0]
    assert torch.allclose(
        spread_HW[HORIZON + 2 :, 0], torch.tensor([position(places, row) for row in range(HORIZON + 2, HEIGHT)])
    )
    assert bool((spread_HW[:10] == 0).all())
