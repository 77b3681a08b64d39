"""Seconds of learning for every second of stream, lately."""

import pytest

from runtime.cost import RecentCost


def test_nothing_learnt_costs_nothing() -> None:
    assert RecentCost().share(1000.0) == 0.0


def test_the_share_is_of_the_window_once_it_is_full_and_of_the_time_so_far_before() -> None:
    cost = RecentCost(window_s=10.0)
    for second in range(1, 5):
        cost.add(float(second), 0.5)
    assert cost.share(4.5) == pytest.approx(2.0 / 4.0)
    for second in range(5, 40):
        cost.add(float(second), 0.5)
    assert cost.share(39.5) == pytest.approx(0.5)


def test_what_lies_behind_the_window_is_forgotten() -> None:
    cost = RecentCost(window_s=10.0)
    cost.add(1.0, 0.9)
    assert cost.share(11.5) == 0.0


def test_a_step_stays_until_its_window_is_over() -> None:
    cost = RecentCost(window_s=10.0)
    cost.add(0.5, 0.5)
    cost.add(10.0, 0.5)
    assert cost.share(10.0) == pytest.approx(0.1)
