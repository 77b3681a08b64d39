"""When windows fire: steps up and down, slow ramps, outliers, and one frame more as released."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.shift.windows import DomainChange, DomainWindows


def fired(windows: DomainWindows, values: list[float]) -> list[int]:
    """Indices of the frames that completed a change."""
    return [index for index, value in enumerate(values) if windows.update(value) is not None]


def test_a_step_is_found_when_its_window_is_whole_and_then_one_window_settles() -> None:
    windows = DomainWindows(length=75, limit=0.23)
    up, down = [1.0] * 150 + [2.0] * 300, [1.0] * 150
    assert fired(windows, up + down) == [224, 524]  # 150 + 75 - 1; the way back 450 + 75 - 1


def test_a_kept_anchor_makes_the_next_window_one_frame_longer() -> None:
    """Frames 0 to 74 are the anchor, 0 to 75 the window after it; from then on windows end at 150, 225, ..."""
    values = [1.0] * 76 + [2.0] * 75
    assert fired(DomainWindows(length=75, limit=0.23, keeps_anchor_frames=True), values) == [150]
    assert fired(DomainWindows(length=75, limit=0.23), values) == [149]


def released(values: list[float], length: int, limit: float) -> list[tuple[int, float, float]]:
    """The released state machine, written out: (frame, anchor, level) of every change."""
    memory: list[float] = []
    anchor, found = None, []
    for frame, value in enumerate(values):
        memory.append(value)
        if len(memory) < length:
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


@given(
    st.lists(st.tuples(st.sampled_from([0.8, 0.95, 1.2, 2.0]), st.integers(1, 40)), min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_with_kept_anchors_changes_are_those_of_the_released_state_machine(
    stretches: list[tuple[float, int]], length: int
) -> None:
    values = [level for level, num in stretches for _ in range(num)]
    limit = 0.2301  # no mean of these values is as far as that from another, so that rounding decides nothing
    windows = DomainWindows(length=length, limit=limit, keeps_anchor_frames=True)
    changes = [(frame, windows.update(value)) for frame, value in enumerate(values)]
    found = [(frame, change.anchor, change.level) for frame, change in changes if change is not None]
    assert [number for one in found for number in one] == pytest.approx(
        [number for one in released(values, length, limit) for number in one]
    )


def test_a_slow_ramp_adds_up() -> None:
    """0.001 a frame: windows of 75 are 0.075 apart, so the fourth after the anchor is the first beyond 0.23."""
    assert fired(DomainWindows(length=75, limit=0.23), [0.001 * index for index in range(400)])[0] == 5 * 75 - 1


def test_single_outliers_are_drowned() -> None:
    windows = DomainWindows(length=75, limit=0.23, anchor=1.0)
    assert fired(windows, ([1.0] * 74 + [15.0]) * 4) == []


def test_a_known_anchor_needs_no_first_window() -> None:
    windows = DomainWindows(length=3, limit=0.5, anchor=1.0)
    windows.update(2.0)
    windows.update(2.0)
    change = windows.update(2.0)
    assert change == DomainChange(1.0, 2.0) and change.is_outward
    assert not DomainChange(2.0, 1.0).is_outward


@given(
    st.lists(st.floats(0.0, 3.0), max_size=80),
    st.integers(1, 8),
    st.floats(0.05, 1.0),
    st.one_of(st.none(), st.floats(0.0, 3.0)),
)
def test_changes_are_those_of_the_list_cut_into_windows(
    values: list[float], length: int, limit: float, anchor: float | None
) -> None:
    windows = DomainWindows(length=length, limit=limit, anchor=anchor)
    changes = [windows.update(value) for value in values]
    for index, change in enumerate(changes):
        if (index + 1) % length:
            assert change is None
            continue
        mean = sum(values[index + 1 - length : index + 1]) / length
        if anchor is None:
            assert change is None
            anchor = mean
        elif change is None:
            assert abs(mean - anchor) <= limit + 1e-9
        else:
            assert abs(mean - anchor) > limit - 1e-9
            assert (change.anchor, change.level) == (pytest.approx(anchor), pytest.approx(mean))
            anchor = None


@pytest.mark.parametrize("wrong", [{"length": 0, "limit": 0.1}, {"length": 5, "limit": 0.0}])
def test_windows_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least 1 and a limit above 0"):
        DomainWindows(**wrong)


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of windows"):
        DomainWindows(length=1, limit=1.0).load_state({"anchor": "1.0"})
