"""Trust starts with the frozen model and leaves it only for readings that say there is something to win."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.trust import ENTER, HYSTERESIS, READINGS, Trust

LEAVE = ENTER + HYSTERESIS
SHARES = st.floats(0.0, 1.0)


def told(*agreements: float) -> Trust:
    trust = Trust()
    for agreement in agreements:
        trust.update(agreement)
    return trust


def test_it_starts_with_the_frozen_model_and_knows_nothing() -> None:
    assert not Trust().is_adapted
    assert Trust().agreement != Trust().agreement


def test_disagreement_brings_the_adapted_model_and_agreement_the_frozen_one() -> None:
    trust = told(0.5, 0.5)
    assert not trust.is_adapted
    assert trust.update(0.5) and trust.is_adapted
    assert not trust.update(0.99)  # one odd frame decides nothing
    assert trust.update(0.99) and not trust.is_adapted


def test_between_the_limits_things_stay_as_they_are() -> None:
    between = (ENTER + LEAVE) / 2
    assert not told(*[between] * 9).is_adapted
    assert told(0.1, 0.1, 0.1, *[between] * 9).is_adapted


@given(st.lists(SHARES, max_size=30), st.lists(st.floats(LEAVE, 1.0), min_size=READINGS, max_size=9))
def test_enough_agreement_always_ends_with_the_frozen_model(past: list[float], agreements: list[float]) -> None:
    assert not told(*past, *agreements).is_adapted


@given(st.lists(SHARES, max_size=30))
def test_a_change_is_told_exactly_when_there_is_one(agreements: list[float]) -> None:
    trust = Trust()
    for agreement in agreements:
        before = trust.is_adapted
        assert trust.update(agreement) == (trust.is_adapted != before)
    was_adapted = trust.is_adapted
    assert trust.reset() == was_adapted and not trust.is_adapted


@given(st.lists(SHARES, max_size=12), st.lists(SHARES, max_size=12))
def test_it_goes_on_from_its_state(past: list[float], future: list[float]) -> None:
    trust, other = told(*past), Trust()
    if len(past) % 2:
        trust.doubt()
    other.load_state(trust.state())
    assert [trust.update(agreement) for agreement in future] == [other.update(agreement) for agreement in future]
    assert trust.is_adapted == other.is_adapted


def test_after_a_change_of_the_stream_it_decides_as_if_nothing_served() -> None:
    between = (ENTER + LEAVE) / 2
    trust = told(0.1, 0.1, 0.1, between, between, between)
    assert trust.is_adapted
    trust.doubt()
    assert [trust.update(between) for _ in range(READINGS)] == [False] * (READINGS - 1) + [True]
    assert not trust.is_adapted
    storm = told(0.1, 0.1, 0.1)
    storm.doubt()
    assert not any(storm.update(0.2) for _ in range(9)) and storm.is_adapted


def test_trust_earned_before_need_not_be_earned_again_but_is_lost_by_the_same_readings() -> None:
    trust = told(0.99, 0.99, 0.99)
    assert trust.take_up(is_adapted=True) and trust.is_adapted
    assert [trust.update(0.95) for _ in range(READINGS)] == [False] * (READINGS - 1) + [True]
    assert not trust.is_adapted
    rain = told(0.1, 0.1, 0.1)
    assert rain.take_up(is_adapted=False) and not rain.take_up(is_adapted=False)
    assert [rain.update(0.5) for _ in range(READINGS)] == [False] * (READINGS - 1) + [True]


@given(st.lists(SHARES, max_size=9))
def test_trust_without_conditions_serves_what_was_learnt_whatever_it_hears(agreements: list[float]) -> None:
    trust = Trust(enter=1.0)
    assert trust.is_adapted and not any(trust.update(agreement) for agreement in agreements)
    assert not trust.reset() and not trust.take_up(is_adapted=False) and trust.is_adapted


@pytest.mark.parametrize("enter", [0.0, -0.5, 1.1])
def test_a_share_that_makes_no_sense_is_refused(enter: float) -> None:
    with pytest.raises(ValueError, match="enter"):
        Trust(enter=enter)
