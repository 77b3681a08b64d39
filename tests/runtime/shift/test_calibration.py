"""The whitened distance and its threshold."""

import numpy as np
import pytest

from runtime.shift.calibration import JUMP_QUANTILE, MIN_SAMPLES, calibrate


def test_distance_is_about_one_for_the_source_itself() -> None:
    """E[d^2] = 1 for a Gaussian whose covariance is known; many samples come close."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(8, 8))
    samples = rng.normal(size=(4000, 8)) @ mixing + 3.0
    source = calibrate(samples, quantile=0.99)
    fresh = rng.normal(size=(500, 8)) @ mixing + 3.0
    squared = [source.distance(row) ** 2 for row in fresh]
    assert np.mean(squared) == pytest.approx(1.0, abs=0.08)


def test_threshold_is_the_quantile_of_unseen_source_samples() -> None:
    rng = np.random.default_rng(1)
    source = calibrate(rng.normal(size=(2000, 6)), quantile=0.9)
    fresh = np.array([source.distance(row) for row in rng.normal(size=(2000, 6))])
    assert (fresh > source.threshold).mean() == pytest.approx(0.1, abs=0.03)


def test_few_samples_in_many_dimensions_do_not_break_it() -> None:
    rng = np.random.default_rng(2)
    source = calibrate(rng.normal(size=(MIN_SAMPLES, 40)), quantile=0.95)
    assert 0 < source.threshold < 10
    assert source.distance(np.full(40, 10.0)) > source.threshold


def test_an_offset_against_the_grain_counts_more_than_along_it() -> None:
    """Two features that always move together: moving apart is the surprise."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(500, 1))
    source = calibrate(np.hstack([shared, shared + 0.05 * rng.normal(size=(500, 1))]), quantile=0.95)
    along, against = np.array([1.0, 1.0]), np.array([1.0, -1.0])
    assert source.distance(source.mean_F + against) > 5 * source.distance(source.mean_F + along)


def test_the_usual_distance_is_the_median_of_unseen_source_samples() -> None:
    rng = np.random.default_rng(4)
    source = calibrate(rng.normal(size=(2000, 6)), quantile=0.9)
    fresh = [source.distance(row) for row in rng.normal(size=(2000, 6))]
    assert source.typical * source.threshold == pytest.approx(np.median(fresh), abs=0.03)


def test_a_jump_is_in_deviations_and_its_threshold_less_than_lies_between_most_samples() -> None:
    """Whatever the units; the quantile is drawn again from pairs that calibration has not seen."""
    rng = np.random.default_rng(5)
    units = np.array([0.01, 1.0, 500.0, 3.0])
    source = calibrate(rng.normal(size=(1000, 4)) * units + 7.0, quantile=0.9)
    assert source.jump(np.zeros(4), units) == pytest.approx(1.0, abs=0.05)
    first, second = rng.normal(size=(2, 20_000, 4))
    expected = np.quantile(np.sqrt(((first - second) ** 2).mean(1)), JUMP_QUANTILE)
    assert source.jump_threshold == pytest.approx(expected, abs=0.03)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        calibrate(np.zeros((MIN_SAMPLES - 1, 4)), quantile=0.95)
