"""HAMLET's windows: the released arithmetic frame by frame, and the rule that serves here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.shift.windowed import PUBLISHED_LIMIT, PUBLISHED_WINDOW, Windowed, WindowRule, published_rule


def jumps(rule, values):
    found = [(frame, rule.update(float(value))) for frame, value in enumerate(values)]
    return [(frame, jump) for frame, jump in found if jump is not None]


def released(values, window=75, limit=0.23):
    """The released state machine, written out with its list: (frame, anchor, level) of every change."""
    memory, anchor, found = [], None, []
    for frame, value in enumerate(values):
        memory.append(value)
        if len(memory) < window:
            continue
        level = sum(memory) / len(memory)
        if anchor is None:
            anchor = level
            continue
        if level - anchor > limit or level - anchor < -limit:
            found.append((frame, anchor, level))
            anchor = None
        memory = []
    return found


def test_the_worked_example():
    """Anchor 0.90, then windows of 1.36: twice the limit, up; and the same way back."""
    found = jumps(published_rule(), [0.90] * 76 + [1.36] * 75 + [1.36] * 76 + [0.90] * 75)
    assert [frame for frame, _ in found] == [150, 301]
    up, down = (jump for _, jump in found)
    assert up.anchor == pytest.approx(0.90, abs=1e-9) and up.level == pytest.approx(1.36, abs=1e-9)
    assert abs(up.level - up.anchor) / PUBLISHED_LIMIT == pytest.approx(2.0, abs=1e-6)
    assert up.is_up and not down.is_up


@given(
    st.lists(st.tuples(st.sampled_from([0.8, 0.95, 1.2, 2.0]), st.integers(1, 40)), min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_the_released_state_machine_step_by_step(stretches, window):
    values = [level for level, num in stretches for _ in range(num)]
    found = jumps(published_rule(window=window), values)
    expected = released(values, window=window)
    assert [frame for frame, _ in found] == [frame for frame, _, _ in expected]
    assert [level for _, jump in found for level in (jump.anchor, jump.level)] == pytest.approx(
        [level for _, *levels in expected for level in levels]
    )


def test_the_window_after_the_first_anchor_has_one_frame_more_in_the_released_code():
    """Its frame 76 is judged together with the 75 that made the anchor; a wild one passes for a change."""
    assert [frame for frame, _ in jumps(published_rule(), [0.9] * PUBLISHED_WINDOW + [30.0])] == [75]
    own = WindowRule(window=PUBLISHED_WINDOW, limit=PUBLISHED_LIMIT)
    assert jumps(own, [0.9] * PUBLISHED_WINDOW + [30.0]) == []


def test_drift_adds_up_because_the_anchor_stays():
    """No window differs from the one before by the limit, the eleventh does from the anchor."""
    values = np.repeat(0.9 + 0.04 * np.arange(12), 10)
    assert [frame for frame, _ in jumps(WindowRule(window=10, limit=0.23), values)] == [69]


def test_a_stream_that_starts_shifted_is_known_by_the_source_anchor():
    """The released rule takes the storm for its anchor and never learns."""
    storm = [2.5] * 200
    assert jumps(published_rule(), storm) == []
    detector = Windowed(0.6, window=15)
    found = [(frame, kind) for frame, value in enumerate(storm) if (kind := detector.update(value))]
    assert found == [(14, "away")]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="window must be"):
        WindowRule(window=0, limit=0.1)
    with pytest.raises(ValueError, match="limit above 0"):
        WindowRule(window=5, limit=0.0)
