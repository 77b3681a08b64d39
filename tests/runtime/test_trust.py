"""Trust starts with the frozen model; how much of what was learnt serves grows as the two agree on less."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.trust import ALIKE, BELOW, FULL_DISTANCE, RAMP, READINGS, UNLIKE, Trust

SHARES = st.floats(0.0, 1.0)
FAR = 2 * FULL_DISTANCE


def told(*agreements: float, distance: float = FAR) -> Trust:
    trust = Trust()
    for agreement in agreements:
        trust.update(agreement, distance=distance)
    return trust


def test_it_starts_with_the_frozen_model_and_knows_nothing() -> None:
    assert not Trust().is_adapted and Trust().share == 0.0
    assert math.isnan(Trust().agreement)


def test_disagreement_brings_the_adapted_model_and_agreement_the_frozen_one() -> None:
    trust = told(0.5, 0.5)
    assert not trust.is_adapted
    assert trust.update(0.5, distance=FAR) and trust.is_adapted and trust.share == 1.0
    assert not trust.update(0.99, distance=FAR)  # one odd frame decides nothing
    assert trust.update(0.99, distance=FAR) and not trust.is_adapted


@pytest.mark.parametrize(("below", "share"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (1.0, 1.0), (3.0, 1.0)])
def test_the_share_grows_from_the_limit_to_the_end_of_the_ramp(below: float, share: float) -> None:
    assert told(*[BELOW - below * RAMP] * READINGS).share == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(("distance", "share"), [(0.2, 0.0), (1.0, 0.0), (1.25, 0.25), (2.0, 1.0), (9.0, 1.0)])
def test_however_little_they_agree_no_more_serves_than_the_weather_is_away(distance: float, share: float) -> None:
    trust = told(*[0.1] * READINGS, distance=distance)
    assert trust.share == pytest.approx(share, abs=1e-9) and trust.is_sure == (share == 1.0)


def test_near_the_source_little_serves_however_far_the_ramp_would_go() -> None:
    half_way = [BELOW - RAMP / 2] * READINGS
    assert told(*half_way, distance=2.5).share == pytest.approx(0.5)
    assert told(*half_way, distance=1.5).share == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("agreement", "share"), [(0.1, 0.5), (UNLIKE, 0.5), ((UNLIKE + ALIKE) / 2, 1 / 3), (ALIKE, 0.25)]
)
def test_the_more_the_two_agree_the_farther_away_the_weather_must_be(agreement: float, share: float) -> None:
    assert told(*[agreement] * READINGS, distance=1.5).share == pytest.approx(share)


def test_it_is_sure_only_while_all_readings_lie_far_below_the_ramp() -> None:
    far, near = BELOW - RAMP - 0.11, BELOW - RAMP - 0.09
    assert not told(far, far).is_sure and told(far, far, far).is_sure
    assert not told(far, far, near).is_sure  # though the median is the same
    trust = told(far, far, far)
    trust.doubt()
    assert not trust.is_sure and trust.share == 1.0


@given(st.lists(SHARES, max_size=30), st.lists(st.floats(BELOW, 1.0), min_size=READINGS, max_size=9))
def test_enough_agreement_always_ends_with_the_frozen_model(past: list[float], agreements: list[float]) -> None:
    assert not told(*past, *agreements).is_adapted


@given(st.lists(SHARES, max_size=30))
def test_a_change_is_told_exactly_when_there_is_one(agreements: list[float]) -> None:
    trust = Trust()
    for agreement in agreements:
        before = trust.is_adapted
        assert trust.update(agreement, distance=FAR) == (trust.is_adapted != before)
    was_adapted = trust.is_adapted
    assert trust.reset() == was_adapted and not trust.is_adapted


@given(st.lists(SHARES, max_size=12), st.lists(SHARES, max_size=12))
def test_it_goes_on_from_its_state(past: list[float], future: list[float]) -> None:
    trust, other = told(*past), Trust()
    if len(past) % 2:
        trust.doubt()
    other.load_state(trust.state())
    assert other.share == trust.share
    assert [trust.update(agreement, distance=FAR) for agreement in future] == [
        other.update(agreement, distance=FAR) for agreement in future
    ]
    assert trust.share == other.share


def test_after_a_change_of_the_stream_new_readings_alone_count() -> None:
    trust = told(0.1, 0.1, 0.1)
    trust.doubt()
    assert trust.is_adapted and trust.agreement == 0.1
    assert [trust.update(0.999, distance=FAR) for _ in range(READINGS)] == [False] * (READINGS - 1) + [True]
    assert not trust.is_adapted


def test_what_a_domain_had_earned_is_taken_up_and_may_be_lost_again() -> None:
    trust = Trust()
    assert trust.take_up(0.4, distance=FAR) and trust.share == 1.0 and trust.agreement == 0.4
    assert trust.take_up(math.nan, distance=FAR) and trust.share == 0.0
    assert not trust.take_up(0.999, distance=FAR)


def test_a_domain_near_the_source_that_returns_has_no_more_served_than_when_it_was_left() -> None:
    trust = told(*[0.4] * READINGS, distance=1.25)
    share = trust.share
    trust.reset()
    assert trust.take_up(0.4, distance=1.25) and trust.share == share == pytest.approx(0.25)


@given(st.lists(SHARES, max_size=9))
def test_trust_without_conditions_serves_what_was_learnt_whatever_it_hears(agreements: list[float]) -> None:
    trust = Trust(below=1.0)
    assert (
        trust.is_blind
        and trust.is_adapted
        and not any(trust.update(agreement, distance=FAR) for agreement in agreements)
    )
    assert not trust.reset() and trust.share == 1.0


@pytest.mark.parametrize("below", [0.0, -0.5, 1.1])
def test_a_share_that_makes_no_sense_is_refused(below: float) -> None:
    with pytest.raises(ValueError, match="below"):
        Trust(below=below)
