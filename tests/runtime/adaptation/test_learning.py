"""When the learner is asked, for what, and what is told of it."""

import numpy as np

from runtime import events
from runtime.adaptation.learning import RELUCTANT_PERIOD
from runtime.adaptation.schedule import HOLD_FRAMES
from runtime.effort import Effort
from runtime.governor import Governor
from runtime.shift.appearance import appearance
from tests.fakes import make_shadow, make_step
from tests.runtime.adaptation.cycles import Noting, Strained, answers, consider_each, kinds


def test_every_usable_frame_is_looked_at_for_a_known_domain(cycle_of) -> None:
    learner = Noting()
    predictions = answers(range(3))
    list(cycle_of(learner).consider(predictions))
    assert [index for index, _ in learner.looked] == [0, 1, 2]
    assert np.array_equal(learner.looked[1][1], appearance(predictions[1].frame.image_HWC))


def test_a_recall_is_told_and_left_alone_until_the_detector_has_had_its_time(cycle_of) -> None:
    learner = Noting()
    learner.known = {1, 2}
    cycle = cycle_of(learner)
    seen = consider_each(cycle, answers(range(2 + HOLD_FRAMES + 2), brightness=1.0))
    assert [event.frame_index for event in seen if isinstance(event, events.Recall)] == [1, 2]
    assert learner.relaxed == [2 + HOLD_FRAMES, 3 + HOLD_FRAMES] and learner.targets == []


def test_statistics_taken_of_far_frames_are_told_and_turns_are_spread_where_time_is_short(cycle_of) -> None:
    learner = Noting()
    learner.far = {1, 2}
    seen = consider_each(cycle_of(learner, governor=Strained(Effort("strained", 3))), answers(range(4)))
    assert [event.frame_index for event in seen if isinstance(event, events.StatisticsTaken)] == [1, 2]
    consider_each(cycle_of(learner, governor=Strained(Effort("off", 0))), answers(range(1)))
    assert learner.periods == [3, 3, 3, 3, RELUCTANT_PERIOD]


def test_at_the_source_weights_are_pulled_home_and_then_left(cycle_of) -> None:
    learner = Noting(is_at_source=False)
    cycle = cycle_of(learner)
    seen = consider_each(cycle, answers(range(3), brightness=1.0))
    assert learner.relaxed == [0, 1, 2] and learner.targets == []
    assert [event.outcome for event in seen if isinstance(event, events.AdaptationStep)] == ["relaxed"] * 3
    learner.is_at_source = True
    assert "AdaptationStep" not in kinds(consider_each(cycle, answers(range(3, 6), brightness=1.0)))


def test_less_effort_means_fewer_smaller_shallower_steps(cycle_of) -> None:
    learner = Noting()
    governor = Strained(Effort("strained", 2, crop_share=0.5, depth="head"))
    consider_each(cycle_of(learner, governor=governor), answers(range(8)))
    assert [target.frame_index for target in learner.targets] == [3, 5, 7]
    assert {target.crop_share for target in learner.targets} == {0.5} and set(learner.depths) == {"head"}


def test_steps_shed_for_lack_of_time_keep_their_budget_and_their_turn(cycle_of) -> None:
    learner = Noting()
    consider_each(cycle_of(learner, governor=Strained(Effort("rare", 2)), budget=3), answers(range(20)))
    assert [target.frame_index for target in learner.targets] == [3, 5, 7, 9, 17]  # 8 and 16 were shed


def test_without_effort_nothing_is_learnt_but_the_way_home_is_open(cycle_of) -> None:
    learner = Noting(is_at_source=False)
    cycle = cycle_of(learner, governor=Strained(Effort("off", 0)))
    consider_each(cycle, answers(range(3), brightness=1.0))
    consider_each(cycle, answers(range(3, 12)))
    assert learner.relaxed and learner.targets == []


def test_lateness_moves_the_governor_and_is_told(cycle_of) -> None:
    cycle = cycle_of(Noting(), governor=Governor(period_s=0.001))
    seen = consider_each(cycle, answers(range(30)))
    changes = [event for event in seen if isinstance(event, events.GovernorChanged)]
    assert [(event.level, event.reason) for event in changes] == [(1, "age")]


def test_a_step_out_of_memory_moves_the_governor_and_is_told_after_it(cycle_of) -> None:
    class Hungry(Noting):
        def learn(self, target, *, rate_share, depth, num_descents):
            super().learn(target, rate_share=rate_share, depth=depth, num_descents=num_descents)
            return make_step(target.frame_index, outcome="oom"), events.Rollback(2, 0, "out of memory", 100.0)

    seen = consider_each(cycle_of(Hungry()), answers(range(3)))
    assert kinds(seen)[-3:] == ["AdaptationStep", "Rollback", "GovernorChanged"] and seen[-1].reason == "oom"


def test_a_rollback_follows_its_step(cycle_of) -> None:
    rollback = events.Rollback(2, 0, "loss is nan", 100.0)
    seen = consider_each(cycle_of(Noting(rollback=rollback)), answers(range(3)))
    assert kinds(seen)[-2:] == ["AdaptationStep", "Rollback"] and seen[-1] is rollback


def test_after_the_budget_one_frame_in_eight_is_learnt_from(cycle_of) -> None:
    learner = Noting()
    consider_each(cycle_of(learner, budget=3), answers(range(20)))
    assert [target.frame_index for target in learner.targets] == [2, 3, 4, 8, 16]


def test_what_was_learnt_is_weighed_against_the_frozen_model_every_other_frame(cycle_of) -> None:
    learner = Noting()
    cycle = cycle_of(learner, share=0.0)
    predictions = answers(range(12))
    list(cycle.consider(predictions[:6]))  # away, and learnt from the newest
    assert learner.weighed == [] and len(learner.targets) == 1
    scores = [
        event.score
        for prediction in predictions[6:]
        for event in cycle.consider([prediction])
        if isinstance(event, events.ShiftScore)
    ]
    assert [index for index, _ in learner.weighed] == [6, 8, 10] and learner.distances == scores[::2]
    assert all(np.array_equal(frozen_HW, make_shadow(predictions[0]).labels_HW) for _, frozen_HW in learner.weighed)


def test_where_the_two_differ_beyond_doubt_they_are_compared_a_quarter_as_often(cycle_of) -> None:
    learner = Noting()
    cycle = cycle_of(learner, share=0.0)
    list(cycle.consider(answers(range(6))))  # away, and learnt from the newest
    learner.is_surely_trusted = True
    for prediction in answers(range(6, 20)):
        list(cycle.consider([prediction]))
    learner.is_surely_trusted = False
    for prediction in answers(range(20, 24)):
        list(cycle.consider([prediction]))
    assert [index for index, _ in learner.weighed] == [6, 14, 20, 22]


def test_back_at_the_source_the_frozen_model_serves_at_once(cycle_of) -> None:
    learner = Noting()
    cycle = cycle_of(learner)
    list(cycle.consider(answers(range(12))))
    seen = list(cycle.consider(answers(range(12, 30), brightness=1.0)))
    shifts = [event for event in seen if isinstance(event, events.ShiftEvent)]
    assert learner.distrusted == [shift.frame_index for shift in shifts if shift.kind == "return"]
    assert len(learner.distrusted) == 1
    assert learner.num_doubts == sum(shift.kind == "change" for shift in shifts) > 0
