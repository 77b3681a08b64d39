import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.detection import pooled, score_detections


def test_delays_misses_and_false_alarms_by_hand():
    # changes at 100, 200, 300 of 500 frames, each detectable for 50 frames: 350 frames are stationary
    score = score_detections([100, 200, 300], [40, 103, 110, 249, 250, 350], num_frames=500)
    assert score.delays == (3, 49, None)
    assert score.num_missed == 1
    assert score.mean_delay == 26.0
    assert score.num_false_alarms == 3
    assert score.num_stationary_frames == 350
    assert score.false_alarms_per_1000 == pytest.approx(3000 / 350)


def test_streams_are_pooled_by_their_frames_and_not_by_their_shares():
    first = score_detections([100], [104, 300], num_frames=400)
    second = score_detections([], [], num_frames=50)
    both = pooled([first, second, score_detections([10], [], num_frames=60)])
    assert both.delays == (4, None) and both.max_delay == 4
    assert both.false_alarms_per_1000 == pytest.approx(1000 / (350 + 50 + 10))
    assert math.isnan(pooled([second]).max_delay)


def test_a_change_is_no_longer_detectable_once_the_next_has_come():
    score = score_detections([10, 20], [25], num_frames=100)
    assert score.delays == (None, 5)
    assert score.num_stationary_frames == 40  # 10..69 belong to the changes


def test_order_of_detections_does_not_matter():
    assert score_detections([10], [30, 12], num_frames=100).delays == (2,)


def test_quiet_stream():
    score = score_detections([], [], num_frames=200)
    assert score.delays == ()
    assert math.isnan(score.mean_delay)
    assert score.false_alarms_per_1000 == 0.0
    assert math.isnan(score_detections([0], [], num_frames=10).false_alarms_per_1000)


@given(st.sets(st.integers(0, 199)), st.lists(st.integers(0, 199)), st.integers(1, 80))
def test_every_frame_is_stationary_or_belongs_to_a_change(changes, detections, tolerance):
    changes = sorted(changes)
    score = score_detections(changes, detections, num_frames=200, tolerance=tolerance)
    owned = {frame for frame in range(200) if any(0 <= frame - change < tolerance for change in changes)}
    assert score.num_stationary_frames == 200 - len(owned)
    assert score.num_false_alarms == sum(frame not in owned for frame in detections)
    assert all(delay is None or 0 <= delay < tolerance for delay in score.delays)


@pytest.mark.parametrize(
    ("changes", "detections", "tolerance", "message"),
    [
        ([5, 5], [], 10, "rise"),
        ([5], [100], 10, r"\[0, 100\)"),
        ([-1], [], 10, r"\[0, 100\)"),
        ([5], [], 0, "tolerance"),
    ],
)
def test_impossible_frames_are_refused(changes, detections, tolerance, message):
    with pytest.raises(ValueError, match=message):
        score_detections(changes, detections, num_frames=100, tolerance=tolerance)
