"""When to learn: budgets, upkeep, relaxing."""

import pytest

from runtime.adaptation.schedule import (
    FRESH_FRAMES,
    HOLD_FRAMES,
    LEAST_RATE,
    UPKEEP_PERIOD,
    Action,
    LearningSchedule,
)
from runtime.events import ShiftEvent


def take(schedule: LearningSchedule, index: int, *, is_at_source: bool = False) -> Action:
    """Decide and act."""
    action = schedule.decide(index, is_at_source=is_at_source)
    if action is Action.LEARN:
        schedule.spend(index, is_at_source=is_at_source)
    return action


def shift(kind: str) -> ShiftEvent:
    return ShiftEvent(frame_index=0, kind=kind, score=2.0, true_domain=None, at_s=0.0)


def test_nothing_happens_before_a_shift() -> None:
    schedule = LearningSchedule(budget=5)
    assert {schedule.decide(index, is_at_source=True) for index in range(20)} == {Action.REST}


def test_a_shift_grants_its_budget_then_upkeep() -> None:
    schedule = LearningSchedule(budget=5)
    schedule.notice(shift("away"))
    actions = [take(schedule, index) for index in range(5 + 4 * UPKEEP_PERIOD)]
    assert actions[:5] == [Action.LEARN] * 5
    assert actions[5:].count(Action.LEARN) == 4


@pytest.mark.parametrize("asked", [range(1, 800, 2), range(0, 800, 6), range(7, 800, 8), range(0, 800, 20)])
def test_upkeep_misses_no_period_of_which_a_frame_is_asked_about(asked) -> None:
    schedule = LearningSchedule(budget=1)
    schedule.notice(shift("away"))
    learnt = [index for index in asked if take(schedule, index) is Action.LEARN]
    periods = [index // UPKEEP_PERIOD for index in asked]
    assert [index // UPKEEP_PERIOD for index in learnt] == sorted(set(periods))


def test_a_decision_alone_spends_nothing() -> None:
    schedule = LearningSchedule(budget=1)
    schedule.notice(shift("away"))
    assert [schedule.decide(1, is_at_source=False) for _ in range(5)] == [Action.LEARN] * 5
    schedule.spend(1, is_at_source=False)
    assert schedule.decide(1, is_at_source=False) is Action.REST


def test_a_change_grants_a_new_budget() -> None:
    schedule = LearningSchedule(budget=3)
    schedule.notice(shift("away"))
    for index in range(3):
        take(schedule, index)
    schedule.notice(shift("change"))
    assert [take(schedule, index) for index in (1, 2, 3)] == [Action.LEARN] * 3


def test_back_at_the_source_it_relaxes_until_there() -> None:
    schedule = LearningSchedule(budget=3)
    schedule.notice(shift("away"))
    schedule.notice(shift("return"))
    assert schedule.decide(0, is_at_source=False) is Action.RELAX
    assert schedule.decide(1, is_at_source=True) is Action.REST


def test_recalled_weights_are_left_alone_until_the_detector_has_had_its_time() -> None:
    schedule = LearningSchedule(budget=3)
    schedule.hold(7)
    actions = [schedule.decide(index, is_at_source=False) for index in (8, 6 + HOLD_FRAMES, 7 + HOLD_FRAMES)]
    assert actions == [Action.REST, Action.REST, Action.RELAX]
    schedule.hold(20)
    schedule.notice(shift("away"))
    assert schedule.decide(21, is_at_source=False) is Action.LEARN
    schedule.hold(22)
    schedule.notice(shift("return"))
    assert schedule.decide(23, is_at_source=False) is Action.RELAX


@pytest.mark.parametrize(
    ("score", "share"), [(0.5, LEAST_RATE), (1.1, LEAST_RATE), (1.4, 0.4), (2.0, 1.0), (4.0, 1.0)]
)
def test_learning_is_slow_near_the_threshold_and_full_beyond(score: float, share: float) -> None:
    assert LearningSchedule(budget=1).rate_share(score) == pytest.approx(share)


def test_without_a_budget_it_learns_from_every_frame_at_the_full_rate() -> None:
    schedule = LearningSchedule(budget=None)
    for kind in ("away", "return", "change"):
        schedule.notice(ShiftEvent(frame_index=0, kind=kind, score=1.0, true_domain=None, at_s=0.0))
        assert {schedule.decide(index, is_at_source=index == 0) for index in range(5)} == {Action.LEARN}
    assert schedule.rate_share(0.0) == 1.0


def test_weights_fresh_from_the_source_take_several_descents_a_frame() -> None:
    schedule = LearningSchedule(budget=1000, fresh_descents=3)
    schedule.notice(shift("away"))
    descents = [schedule.spend(index, is_at_source=index == 0) for index in range(FRESH_FRAMES + 10)]
    assert descents == [3] * FRESH_FRAMES + [1] * 10
    again = LearningSchedule(budget=1000, fresh_descents=3)
    again.load_state(schedule.state())
    assert [again.spend(50, is_at_source=False), again.spend(51, is_at_source=True)] == [1, 3]


def test_without_a_budget_every_frame_is_worth_one_descent() -> None:
    schedule = LearningSchedule(budget=None, fresh_descents=3)
    assert {schedule.spend(index, is_at_source=index == 0) for index in range(5)} == {1}
