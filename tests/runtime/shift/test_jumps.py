"""The default watch on features chosen by hand: bars, jumps, ramps."""

import numpy as np
import pytest

from runtime.shift.jumps import AWAY_ABOVE, AWAY_ABOVE_AFTER_JUMP, RETURN_BELOW, RETURN_BELOW_AFTER_JUMP, JumpWatch
from runtime.shift.sight import Sight
from tests.fakes import make_prediction, make_source

SOURCE = make_source(np.zeros(2), np.eye(2))  # distance: root mean square of both features; a jump is 1 of it
PREDICTION = make_prediction()


def events(levels, *, smoothing=1.0):
    """Kinds by frame, the stream at (level, level)."""
    watch, smoothed_F, found = JumpWatch(SOURCE), None, []
    for frame, level in enumerate(levels):
        looks_F = np.full(2, float(level))
        smoothed_F = looks_F if smoothed_F is None else smoothed_F + smoothing * (looks_F - smoothed_F)
        score, kind = watch.look(Sight(PREDICTION, looks_F, smoothed_F))
        assert score == pytest.approx(abs(float(smoothed_F[0])))
        found += [(frame, kind)] if kind is not None else []
    return found


def test_scenery_that_wanders_between_the_bars_is_no_event():
    wandering = 0.65 + 0.5 * np.sin(np.linspace(0, 20, 600))  # 0.15 to 1.15, a frame at a time
    assert events(wandering) == []


def test_creeping_over_the_far_bar_is_away_and_under_the_low_one_a_return():
    up, down = np.linspace(0.5, AWAY_ABOVE + 0.05, 400), np.linspace(AWAY_ABOVE, RETURN_BELOW - 0.05, 400)
    found = events([*up, *down])
    assert [kind for _, kind in found] == ["away", "return"]


def test_a_jump_makes_the_near_bar_count():
    """Two steps to one level between the bars: in one jump it is away, creeping there is not."""
    level = (AWAY_ABOVE_AFTER_JUMP + AWAY_ABOVE) / 2
    assert level < AWAY_ABOVE
    assert [kind for _, kind in events([-0.8] * 30 + [level] * 30)] == ["away"]
    assert events([*np.linspace(-0.8, level, 600), *[level] * 30]) == []


def test_a_jump_back_need_not_reach_the_low_bar():
    level = (RETURN_BELOW + RETURN_BELOW_AFTER_JUMP) / 2
    found = events([0.0] * 20 + [4.0] * 40 + [level] * 40)
    assert [kind for _, kind in found] == ["away", "return"]
    assert 60 <= found[1][0] <= 66


def test_a_jump_between_shifted_domains_is_one_change():
    found = events([0.0] * 20 + [2.0] * 40 + [4.0] * 80)
    assert [kind for _, kind in found] == ["away", "change"]
    assert 60 <= found[1][0] <= 68


def test_while_away_a_smaller_jump_is_enough():
    step = 1.2  # recent looks are 0.86 from those before at most, as these follow
    assert SOURCE.change_threshold < 0.86 < SOURCE.jump_threshold and events([-0.4] * 60 + [step - 0.4] * 60) == []
    assert [kind for _, kind in events([0.0] * 20 + [4.0] * 60 + [4.0 + step] * 60)] == ["away", "change"]


def test_a_change_to_as_far_from_the_source_in_another_direction_is_found():
    """Where a scalar distance sees nothing."""
    watch, found = JumpWatch(SOURCE), []
    looks = [np.zeros(2)] * 20 + [np.array([3.0, 0.0])] * 40 + [np.array([0.0, 3.0])] * 40
    for frame, looks_F in enumerate(looks):
        _, kind = watch.look(Sight(PREDICTION, looks_F, looks_F))
        found += [(frame, kind)] if kind else []
    assert [kind for _, kind in found] == ["away", "change"] and 60 <= found[1][0] <= 68


def test_a_ramp_adds_up_to_changes():
    found = events(np.linspace(0.0, 8.0, 300))
    assert found[0][1] == "away"
    assert 2 <= sum(kind == "change" for _, kind in found) <= 8


def test_a_stream_that_starts_shifted_is_away_after_three_frames():
    assert events([3.0] * 10)[0] == (2, "away")


def test_one_odd_frame_is_nothing():
    assert events([0.5] * 30 + [1.1] + [0.5] * 30) == []
    assert events([0.5] * 30 + [3.0] + [0.5] * 30) == []


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match="jump watch"):
        JumpWatch(SOURCE).load_state({"level": {}})
