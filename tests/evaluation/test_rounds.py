import math
import statistics

import numpy as np
import pytest

from evaluation.rounds import harmonic_mean, round_scores, worst_later_round
from evaluation.slices import SliceKey, SliceLog

RIGHT = np.array([[2, 0], [0, 2]])  # mIoU 1
EVEN = np.array([[1, 1], [1, 1]])  # mIoU 1/3
WRONG = np.array([[0, 2], [2, 0]])  # mIoU 0


def logged(*rounds):
    """Each round a list of visits, each visit the counts of the adapted model; the frozen one is always even."""
    log, index, visit = SliceLog(2), 0, -1
    for number, visits in enumerate(rounds):
        for served_KK in visits:
            visit += 1
            log.add(SliceKey(f"domain_{visit}", visit, number), index, served_KK, EVEN)
            index += 1
    return log.slices()


def test_rounds_by_hand():
    first, second, third = round_scores(logged([RIGHT, EVEN], [EVEN, EVEN], [RIGHT, RIGHT]))
    assert first.hmean == pytest.approx(2 / (1 + 3))
    assert second.hmean == pytest.approx(1 / 3)
    assert third.hmean == 1.0
    assert [one.hmean_frozen for one in (first, second, third)] == pytest.approx([1 / 3] * 3)
    assert worst_later_round((first, second, third)) == pytest.approx(1 / 3 - 1 / 2)


def test_a_single_round_has_no_later_one():
    assert math.isnan(worst_later_round(round_scores(logged([RIGHT]))))


def test_harmonic_mean_is_the_librarys_and_knows_zero_and_nan():
    values = [0.2, 0.9, 0.55]
    assert harmonic_mean([*values, math.nan]) == pytest.approx(statistics.harmonic_mean(values))
    assert round_scores(logged([RIGHT, WRONG]))[0].hmean == 0.0
    assert math.isnan(harmonic_mean([math.nan]))
