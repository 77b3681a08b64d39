"""Detectors on sequences of floats whose changes are known, and against second implementations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.shift.cusum import Cusum
from runtime.shift.detector import Side
from runtime.shift.excess import Excess
from runtime.shift.hysteresis import Hysteresis
from runtime.shift.page_hinkley import PageHinkley
from runtime.shift.two_ema import TwoEma
from runtime.shift.windowed import Windowed
from runtime.state import flatten, unflatten

TYPICAL = 0.6
DETECTORS = {
    "hysteresis": Hysteresis,
    "windowed": lambda: Windowed(TYPICAL),
    "page_hinkley": lambda: PageHinkley(TYPICAL),
    "cusum": lambda: Cusum(TYPICAL),
    "two_ema": lambda: TwoEma(TYPICAL),
}
FINDING_CHANGES = ["windowed", "page_hinkley", "cusum", "two_ema"]


def noisy(*stretches, seed=0, noise=0.08):
    """Readings with a level for so many frames, one stretch after the other."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(level, noise, num) for level, num in stretches])


def kinds(detector, values):
    found = [(frame, detector.update(float(value))) for frame, value in enumerate(values)]
    return [(frame, kind) for frame, kind in found if kind is not None]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_source_that_does_not_change_raises_no_alarm(name):
    for seed in range(5):
        assert kinds(DETECTORS[name](), noisy((TYPICAL, 600), seed=seed)) == []


@pytest.mark.parametrize("name", DETECTORS)
def test_a_step_away_is_found_soon_and_so_is_the_way_back(name):
    detector = DETECTORS[name]()
    found = kinds(detector, noisy((TYPICAL, 60), (2.5, 60), (TYPICAL, 60)))
    sides = [(frame, kind) for frame, kind in found if kind != "change"]
    assert [kind for _, kind in sides] == ["away", "return"]
    assert 60 <= sides[0][0] <= 75 and 120 <= sides[1][0] <= 150
    assert not detector.is_shifted


@pytest.mark.parametrize("name", DETECTORS)
def test_a_stream_that_starts_shifted_is_away_within_a_window(name):
    found = kinds(DETECTORS[name](), noisy((2.5, 40)))
    assert found[0][1] == "away" and found[0][0] < 15


@pytest.mark.parametrize("name", DETECTORS)
def test_a_single_odd_frame_is_not_a_shift(name):
    values = noisy((TYPICAL, 80))
    values[40] = 1.6
    assert kinds(DETECTORS[name](), values) == []


@pytest.mark.parametrize("name", DETECTORS)
def test_a_slow_ramp_is_found(name):
    values = noisy((TYPICAL, 30), (0.0, 300)) + np.concatenate([np.zeros(30), np.linspace(TYPICAL, 3.0, 300)])
    assert kinds(DETECTORS[name](), values)[0][1] == "away"


@pytest.mark.parametrize("name", FINDING_CHANGES)
@pytest.mark.parametrize("levels", [(1.8, 3.5), (3.5, 1.8)])
def test_a_step_between_shifted_domains_is_a_change(name, levels):
    found = kinds(DETECTORS[name](), noisy((levels[0], 90), (levels[1], 40)))
    assert any(kind == "change" and 90 <= frame < 120 for frame, kind in found)
    assert all(kind != "return" for _, kind in found)


@pytest.mark.parametrize("name", FINDING_CHANGES)
def test_signed_readings_may_leave_the_source_downwards(name):
    detector = {"windowed": Windowed, "page_hinkley": PageHinkley, "cusum": Cusum, "two_ema": TwoEma}[name](0.0)
    found = kinds(detector, noisy((0.0, 60), (-3.0, 45), (3.0, 45)))
    assert found[0][1] == "away" and 60 <= found[0][0] < 75
    assert any(kind == "change" and frame >= 105 for frame, kind in found), "through the source and out again"


@pytest.mark.parametrize("name", DETECTORS)
@given(
    values=st.lists(st.floats(0, 4), min_size=2, max_size=60),
    cut=st.integers(1, 59),
)
def test_a_detector_goes_on_from_its_state_bit_for_bit(name, values, cut):
    whole, first, second = (DETECTORS[name]() for _ in range(3))
    first_kinds = kinds(first, values[:cut])
    second.load_state(unflatten(*flatten(first.state())))
    second_kinds = [(frame + len(values[:cut]), kind) for frame, kind in kinds(second, values[cut:])]
    assert kinds(whole, values) == first_kinds + second_kinds
    assert second.state() == whole.state()


@pytest.mark.parametrize("name", DETECTORS)
def test_a_state_of_something_else_is_refused(name):
    with pytest.raises(ValueError, match="not the state"):
        DETECTORS[name]().load_state({"tokens": 3})


@pytest.mark.parametrize("name", FINDING_CHANGES)
def test_a_usual_reading_at_the_edge_leaves_no_room(name):
    builder = {"windowed": Windowed, "page_hinkley": PageHinkley, "cusum": Cusum, "two_ema": TwoEma}[name]
    with pytest.raises(ValueError, match="within the edge"):
        builder(1.0)


def test_cusum_finds_a_step_after_as_many_frames_as_theory_says():
    """Without noise: the smallest n with n (s - slack) > limit, s the step, in units of the room within the edge."""
    room = 1 - TYPICAL
    for step in (1.6, 2.1, 4.0):
        detector = Cusum(TYPICAL, slack_share=1.0, limit_frames=8.0)
        found = kinds(detector, [TYPICAL] * 20 + [TYPICAL + step * room] * 40)
        assert found[0][0] == 20 + math.floor(8.0 / (step - 1.0))
        assert detector.state()["reference"] == pytest.approx(TYPICAL + step * room)


def test_excess_is_the_cumulative_sum_above_its_least_value():
    """S_t = max over k <= t of x_k + .. + x_t, or 0 (Page 1954, section 2)."""
    values = np.random.default_rng(3).normal(-0.2, 1.0, 200)
    excess = Excess()
    for end in range(len(values)):
        excess.add(float(values[end]))
        sums = [float(values[start : end + 1].sum()) for start in range(end + 1)]
        assert excess.total == pytest.approx(max(0.0, max(sums)))
        if excess.total > 0:
            assert excess.mean == pytest.approx(max(sums) / excess.num)
            assert sums[end + 1 - excess.num] == pytest.approx(max(sums))


def test_page_hinkley_is_the_definition_by_sums_and_minima():
    """m_t = sum(x_i - mean_i - slack), alarm when m_t - min(m) > limit; written out, for rises."""
    values = noisy((0.5, 50), (1.4, 30), seed=5)
    room, prior = 1 - 0.5, 30
    means = (0.5 * prior + np.cumsum(values)) / (prior + np.arange(1, len(values) + 1))
    m = np.concatenate([[0.0], np.cumsum(values - means - 0.5 * room)])
    first = int(np.argmax(m - np.minimum.accumulate(m) > 8.0 * room)) - 1
    detector = PageHinkley(0.5, slack_share=0.5, limit_frames=8.0, prior_frames=prior)
    assert kinds(detector, values)[0][0] == first


def test_hysteresis_confirms_and_holds():
    detector = Hysteresis(away_above=1.0, return_below=0.5, confirm_frames=2)
    assert kinds(detector, [1.1, 0.9, 1.1, 1.1, 0.6, 0.9, 0.4, 0.4]) == [(3, "away"), (7, "return")]
    with pytest.raises(ValueError, match="return_below"):
        Hysteresis(away_above=0.5, return_below=0.6)


def test_a_change_within_the_source_is_no_event():
    side = Side()
    assert [side.moved_to(level) for level in (0.8, 1.2, 0.95, 2.0, -0.3, -1.5)] == [
        None, "away", "change", "change", "return", "away",
    ]  # fmt: skip
