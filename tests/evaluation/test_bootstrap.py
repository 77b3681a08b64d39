import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.bootstrap import Interval, block_weights, interval, pooled, resample, resampled_miou
from evaluation.confusion import mean_iou
from evaluation.slices import SliceKey, SliceLog

RIGHT = np.array([[2, 0], [0, 2]])
WRONG = np.array([[0, 2], [2, 0]])


def run(*visits, frozen_KK=RIGHT):
    """Visits as lists of counts by frame; each frame is alone in its slice of five, so blocks are of five slices."""
    log, index = SliceLog(2), 0
    for visit, frames in enumerate(visits):
        for counts_KK in frames:
            for _ in range(5):
                log.add(SliceKey(f"domain_{visit}", visit, 0), index, counts_KK, frozen_KK)
                index += 1
    return log.slices()


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 99))
def test_as_many_are_drawn_as_there_are_and_in_blocks(num, block, seed):
    weights_RN = block_weights(num, block=block, num_replicates=7, rng=np.random.default_rng(seed))
    assert (weights_RN.sum(axis=1) == num).all()
    if num % block == 0:  # of whole blocks in a circle, an item is begun by another or follows one that was drawn
        steps_RN = weights_RN - np.roll(weights_RN, 1, axis=1)
        begun_R = np.clip(steps_RN, 0, None).sum(axis=1)
        assert (begun_R <= num // block).all()


def test_every_place_is_drawn_equally_often():
    weights_RN = block_weights(15, block=5, num_replicates=20_000, rng=np.random.default_rng(0))
    assert weights_RN.mean(axis=0) == pytest.approx(np.ones(15), abs=0.03)


def test_a_block_as_long_as_the_visit_draws_the_visit_itself():
    weights_RN = block_weights(5, block=5, num_replicates=9, rng=np.random.default_rng(0))
    assert (weights_RN == 1).all()


@pytest.mark.parametrize("num_right", [1, 2, 3])
def test_a_visit_shorter_than_a_block_is_not_certain(num_right):
    replicates = resample(run([RIGHT] * num_right + [WRONG] * (4 - num_right)), seed=0)  # 20 frames
    found = interval(replicates.hmean_R)
    # of n right slices in four each class has n hits of 4 + (4 - n)
    assert found.low < num_right / (8 - num_right) < found.high


@pytest.mark.parametrize(("num", "block"), [(3, 1), (6, 2), (9, 3), (14, 4), (15, 5), (16, 5), (60, 5)])
def test_a_block_is_25_frames_and_at_most_a_third_of_the_visit(num, block):
    counts_NKK = np.random.default_rng(1).integers(1, 9, (num, 2, 2))
    rng = np.random.default_rng([7, 0])
    weights_RN = block_weights(num, block=block, num_replicates=1000, rng=rng)
    expected_R = resampled_miou(weights_RN, 5 * counts_NKK)
    assert resample(run(counts_NKK), seed=7).hmean_R == pytest.approx(expected_R)


def test_weighted_scores_are_those_of_frames_repeated():
    rng = np.random.default_rng(1)
    counts_NKK = rng.integers(0, 5, (6, 3, 3)) * rng.integers(0, 2, (1, 3, 1))
    weights_RN = rng.integers(0, 4, (20, 6))
    repeated = [mean_iou(np.repeat(counts_NKK, weights_N, axis=0).sum(axis=0)) for weights_N in weights_RN]
    assert resampled_miou(weights_RN, counts_NKK) == pytest.approx(repeated, nan_ok=True)


def test_scores_are_harmonic_means_over_visits_and_paired_with_frozen():
    replicates = resample(run([RIGHT] * 5, [WRONG] * 5 + [RIGHT] * 5, frozen_KK=RIGHT), seed=3)
    assert (replicates.hmean_frozen_R == 1.0).all()
    # a draw of the second visit holds n right slices of ten: each class n hits of 10 + (10 - n)
    mious = [n / (20 - n) for n in range(11)]
    possible = [statistics.harmonic_mean([1.0, miou]) for miou in mious]
    assert all(min(abs(value - one) for one in possible) < 1e-9 for value in replicates.hmean_R)
    assert len(set(np.round(replicates.hmean_R, 9))) > 3
    assert replicates.gain_R == pytest.approx(replicates.hmean_R - 1.0)


def test_equal_runs_have_no_gain_in_any_draw_and_other_runs_get_the_same_draws():
    visit = [RIGHT, WRONG, RIGHT, RIGHT, WRONG, WRONG, RIGHT]
    same = SliceLog(2)
    for index, counts_KK in enumerate(np.repeat(visit, 5, axis=0)):
        same.add(SliceKey("clear", 0, 0), index, counts_KK, counts_KK)
    assert (resample(same.slices(), seed=0).gain_R == 0).all()
    assert (resample(same.slices(), seed=0).hmean_R == resample(run(visit), seed=0).hmean_R).all()
    assert (resample(same.slices(), seed=0).hmean_R != resample(run(visit), seed=1).hmean_R).any()


def test_over_seeds_runs_are_drawn_with_replacement():
    means_R = pooled([np.full(4000, 1.0), np.full(4000, 3.0)], seed=0)
    values, counts = np.unique(means_R, return_counts=True)
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert sorted(pooled([np.arange(3000.0)], seed=0)) != list(range(3000))  # one run is resampled too


def test_intervals_hold_the_middle_of_what_is_known():
    assert interval(np.arange(1001.0)) == Interval(pytest.approx(25.0), pytest.approx(975.0))
    assert interval(np.array([math.nan, 4.0])) == Interval(4.0, 4.0)
    assert math.isnan(interval(np.array([math.nan])).low)


def test_a_lost_visit_makes_the_score_zero_and_an_unlabelled_one_does_not_count():
    assert (resample(run([RIGHT] * 5, [WRONG] * 5), seed=0).hmean_R == 0).all()
    assert (resample(run([RIGHT] * 5, [0 * RIGHT] * 5), seed=0).hmean_R == 1).all()
