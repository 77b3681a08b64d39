"""HAMLET's pace: the published worked example, and budgets as a state machine held against a plain account."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.adaptation.hamlet_pace import MAX_STEPS, Pace, Scale
from runtime.shift.windows import DomainWindows

RATE = 1.5e-5  # the recipe's


def published(window: int = 75) -> Pace:
    scale = Scale()
    return Pace(scale, windows=DomainWindows(length=window, limit=scale.limit, keeps_anchor_frames=True))


def feed(pace: Pace, *values: float) -> list[float | None]:
    """The rate of each frame, None where it rests."""
    rates = []
    for value in values:
        step = pace.begin()
        rates.append(None if step is None else step.rate)
        pace.note(value)
    return rates


def test_the_worked_example_of_the_released_arithmetic() -> None:
    """Anchor 0.90 to 1.36: two steps up, 1500 iterations, 2.94e-5 falling to 0, 42 % of the classes pasted.

    The window that sets an anchor is kept: 76 frames at 0.9, then 75 at 1.36 are the first window beyond it.
    """
    pace = published()
    assert set(feed(pace, *[0.9] * 76, *[1.36] * 75)) == {None}
    assert pace.budget == 1500
    first = pace.begin()
    assert first is not None
    assert first.rate * RATE == pytest.approx(2.94e-5, rel=1e-6)
    assert first.ratio == pytest.approx(0.42, abs=1e-6)
    pace.note(1.36)
    rates = feed(pace, *[1.36] * 1499)
    assert rates[749 - 1] * RATE == pytest.approx(2.94e-5 * (1 - 749 / 1500), rel=1e-6)
    assert rates[-1] * RATE == pytest.approx(2.94e-5 / 1500, rel=1e-6)
    assert feed(pace, 1.36) == [None]


def test_the_way_back_is_cheaper_as_in_the_example() -> None:
    """1.36 to 0.90: as many steps, worth 750 x 0.27857 iterations each; the budget before was spent long ago."""
    pace = published()
    feed(pace, *[0.9] * 76, *[1.36] * 75)
    feed(pace, *[1.36] * (76 + 75 * 20))  # the new anchor, and all 1500 iterations
    feed(pace, *[0.9] * 75)
    assert pace.budget == 417
    step = pace.begin()
    assert step is not None
    assert step.rate == pytest.approx(1 + 3 * (0.1 / 1.75)) and step.ratio == pytest.approx(0.5 - 0.25 * 0.1 / 1.75)


def test_what_was_left_of_a_budget_is_added_up_to_the_cap() -> None:
    pace = published(window=4)
    feed(pace, *[0.8] * 5, *[1.26] * 4)
    assert pace.budget == 1500
    feed(pace, *[1.26] * 5, *[1.72] * 4)  # nine iterations on
    assert pace.budget == 1500 + 1500 - 9
    feed(pace, *[1.72] * 5, *[2.41] * 4)  # three steps: 2250 + 2982
    assert pace.budget == MAX_STEPS


def test_interpolation_is_linear_and_level_beyond_both_ends() -> None:
    scale = Scale(source=1.0, farthest=3.0, step=0.1)
    assert [scale.between(d, 10.0, 20.0) for d in (0.0, 1.0, 1.5, 3.0, 9.0)] == [10.0, 10.0, 12.5, 20.0, 20.0]


def test_a_network_with_other_distances_is_scaled_alike() -> None:
    """Twice the source reading, no spread: twice every constant. With spread, two deviations of a difference."""
    even = Scale.of_source([1.6, 1.6, 1.6])
    assert (even.source, even.farthest, even.step, even.limit) == pytest.approx((1.6, 5.1, 0.46, 0.46))
    spread = Scale.of_source([0.6, 1.0])  # deviation 0.2828
    assert (spread.source, spread.step, spread.limit) == pytest.approx((0.8, 0.23, 2 * (2 * 0.08) ** 0.5))


def test_a_stream_that_begins_far_away_is_learnt_from_after_one_window() -> None:
    """The first anchor is the source's reading: that of the released code would be the stream's own."""
    scale = Scale()
    pace = Pace(scale, windows=DomainWindows(length=75, limit=scale.limit, anchor=scale.source))
    assert set(feed(pace, *[1.72] * 75)) == {None}
    assert pace.budget == 3000 and pace.begin() is not None
    as_released = published()
    feed(as_released, *[1.72] * 300)
    assert as_released.budget == 0


def test_outliers_and_small_departures_grant_nothing() -> None:
    pace = published()
    feed(pace, *[0.9] * 76)
    feed(pace, *[0.9] * 37, 9.0, *[0.9] * 37)  # 8.1 over 75 frames is 0.11
    feed(pace, *[1.12] * 75)
    assert pace.budget == 0


@given(st.lists(st.floats(0.0, 4.0), max_size=120), st.integers(1, 9))
def test_budgets_are_those_of_a_plain_account(values: list[float], window: int) -> None:
    """Learning frames, rates and ratios, told again from the list of all values, without a state machine."""
    scale = Scale()
    pace = Pace(scale, windows=DomainWindows(length=window, limit=scale.limit, anchor=scale.source))
    anchor: float | None = scale.source
    start, granted, level = 0, 0, 0.0
    for index, value in enumerate(values):
        step = pace.begin()
        position = index - start
        assert (step is not None) == (position < granted)
        if step is not None:
            share = min(1.0, max(0.0, (level - 0.8) / 1.75))
            assert step.rate == pytest.approx((1 + 3 * share) * (1 - position / granted))
            assert step.ratio == pytest.approx(0.5 - 0.25 * share)
            assert 0 < step.rate <= 4 and 0.25 <= step.ratio <= 0.5
        change = pace.note(value)
        assert (change is None) or anchor is not None
        if (index + 1) % window:
            assert change is None
            continue
        mean = sum(values[index + 1 - window : index + 1]) / window
        if anchor is None:
            anchor = mean
        elif change is not None:
            assert abs(mean - anchor) > scale.step - 1e-9
            each = 750 if mean > anchor else 750 * (0.25 + 0.5 * min(1.0, max(0.0, (mean - 0.8) / 1.75)))
            wanted = abs(mean - anchor) / 0.23 * each + max(granted - (index + 1 - start), 0)
            assert abs(pace.budget - min(wanted, MAX_STEPS)) < 1
            start, granted, level, anchor = index + 1, pace.budget, mean, None
        else:
            assert abs(mean - anchor) <= scale.step + 1e-9


@given(st.lists(st.floats(0.0, 4.0), max_size=60), st.lists(st.floats(0.0, 4.0), max_size=60), st.booleans())
def test_it_goes_on_from_its_state(before: list[float], after: list[float], keeps: bool) -> None:
    scale = Scale()

    def made() -> Pace:
        return Pace(scale, windows=DomainWindows(length=7, limit=0.1, anchor=None, keeps_anchor_frames=keeps))

    pace, other = made(), made()
    feed(pace, *before)
    other.load_state(json.loads(json.dumps(pace.state())))
    assert feed(pace, *after) == feed(other, *after)
    assert pace.state() == other.state()


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of a pace"):
        published().load_state({"budget": 3})
