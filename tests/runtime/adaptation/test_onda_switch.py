"""The hybrid switch: levels, trends, and the whole of it against a plain reading of the rule."""

import json
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.adaptation.onda_switch import HybridSwitch


def fed(*values: float) -> HybridSwitch:
    switch = HybridSwitch()
    for value in values:
        switch.update(value)
    return switch


def test_levels_decide_where_they_are_clear() -> None:
    assert fed(0.95).is_static and not fed(0.5).is_static
    assert fed(*[0.5] * 10, *[0.95] * 9).is_static is False  # the median is still 0.5
    assert fed(*[0.5] * 10, *[0.95] * 11).is_static


def test_between_them_it_is_static_until_a_trend_is_known() -> None:
    assert fed(*[0.86] * 150).is_static and fed(*[0.86] * 150).trend == 0.0


def test_a_trend_is_the_slope_of_a_line() -> None:
    """Both means move along it alike: any weights that sum to 1 give the slope itself."""
    assert fed(*(0.86 + 1e-4 * index for index in range(250))).trend == pytest.approx(1e-4)


@pytest.mark.parametrize(("slope", "is_static"), [(-3e-4, False), (3e-4, True), (-1e-4, True)])
def test_in_the_gray_area_the_last_steep_trend_decides(slope: float, is_static: bool) -> None:
    """Lines through 0.865 over 200 frames stay between 0.83 and 0.90; a slope of 1e-4 is not steep."""
    switch = fed(*(0.865 + slope * (index - 100) for index in range(200)))
    assert switch.is_static == is_static
    for _ in range(5):
        switch.update(0.865)
    assert switch.is_static == is_static


def plainly(values: list[float]) -> list[bool]:
    """The rule told from the list of all values."""
    n = np.arange(199)
    weights = 0.54 - 0.46 * np.cos(2 * np.pi * n / 198)
    weights /= weights.sum()
    by_trend, decisions = True, []
    for t in range(len(values)):
        window = values[max(0, t - 199) : t + 1]
        if len(window) == 200:
            trend = float(weights @ np.array(window[1:]) - weights @ np.array(window[:-1]))
            by_trend = True if trend > 2e-4 else False if trend < -2e-4 else by_trend
        level = median(window)
        decisions.append(level > 0.90 or (level >= 0.83 and by_trend))
    return decisions


@given(st.lists(st.tuples(st.floats(0.80, 0.93), st.integers(20, 90)), min_size=3, max_size=5), st.integers(0, 9))
def test_decisions_are_those_of_the_rule_read_plainly(stretches: list[tuple[float, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [level + rng.normal(0, 0.004) for level, length in stretches for _ in range(length)]
    switch = HybridSwitch()
    assert [switch.update(value) for value in values] == plainly(values)


def test_it_goes_on_from_its_state() -> None:
    values = [0.95 - 0.0007 * index for index in range(240)]
    switch, other = fed(*values), HybridSwitch()
    other.load_state(json.loads(json.dumps(switch.state())))
    for value in (0.86, 0.85, 0.91):
        assert switch.update(value) == other.update(value)
    assert switch.trend == other.trend
    with pytest.raises(ValueError, match="not the state of a switch"):
        other.load_state({"values": []})
