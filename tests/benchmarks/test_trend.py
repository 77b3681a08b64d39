import math

import numpy as np
import pytest

from benchmarks.trend import Trend

TIMES_S = np.arange(0.0, 900.0, 5.0)


def test_growth_is_found_through_noise_and_odd_samples():
    rng = np.random.default_rng(0)
    values = 500 + 12.0 / 3600 * TIMES_S + rng.normal(0, 0.05, TIMES_S.size)
    values[[7, 40, 41, 99]] += 80.0  # a page being drawn
    trend = Trend.of(TIMES_S, values, window_s=30.0)
    assert trend.slope_per_h == pytest.approx(12.0, abs=1.0)
    assert trend.low_per_h < 12.0 < trend.high_per_h
    assert trend.num == 30


def test_slope_and_interval_by_hand():
    # Five windows of one sample an hour apart: 0, 1, 2, 3, 10. Slopes of the ten pairs in order: six of 1 among them,
    # then 7/1, 8/2, 9/3, 10/4: sorted 1 1 1 1 1 1 2.5 3 4 7. Half-width 1.96 sqrt(5 4 15 / 18) = 8.0: ranks 0 and 9.
    trend = Trend.of(np.arange(5) * 3600.0, np.array([0.0, 1, 2, 3, 10]), window_s=3600.0)
    assert trend.slope_per_h == pytest.approx(1.0)
    assert (trend.low_per_h, trend.high_per_h) == pytest.approx((1.0, 7.0))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        trend = Trend.of(TIMES_S, rng.normal(0, 1, TIMES_S.size), window_s=30.0)
        held += trend.low_per_h <= 0.0 <= trend.high_per_h
    assert 182 <= held <= 198


def test_what_stands_still_has_no_slope():
    trend = Trend.of(TIMES_S, np.full(TIMES_S.size, 512.0), window_s=30.0)
    assert (trend.slope_per_h, trend.low_per_h, trend.high_per_h) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("num", [0, 1])
def test_too_little_says_nothing(num):
    assert math.isnan(Trend.of(TIMES_S[:num], TIMES_S[:num], window_s=30.0).slope_per_h)
