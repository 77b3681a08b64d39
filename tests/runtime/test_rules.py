"""Cores are shared out, and a frame's age is judged by its stream's rate."""

import pytest

from runtime.rules import ThreadBudget, max_age_s


@pytest.mark.parametrize(("cores", "budget"), [(1, (1, 1)), (2, (1, 1)), (3, (2, 1)), (8, (4, 4))])
def test_cores_are_shared_between_the_two_threads(cores, budget) -> None:
    shared = ThreadBudget.of_cores(cores)
    assert (shared.inference, shared.learning) == budget


@pytest.mark.parametrize(("fps", "age_s"), [(60.0, 0.15), (10.0, 0.2), (2.0, 1.0)])
def test_two_periods_but_never_less_than_150_ms(fps, age_s) -> None:
    assert max_age_s(fps) == pytest.approx(age_s)
