"""One prediction sets off shadow, detection and perhaps learning, in that order."""

from collections import Counter

import numpy as np

from runtime.governor import Governor
from runtime.state import flatten, unflatten
from streams.frame import Frame
from tests.fakes import make_prediction
from tests.runtime.adaptation.cycles import Noting, answers, consider_each, kinds


def test_a_shift_is_told_before_it_is_learnt_from(cycle_of) -> None:
    learner = Noting()
    seen = consider_each(cycle_of(learner), answers(range(6)))
    shift = kinds(seen).index("ShiftEvent")
    assert kinds(seen[:shift]) == ["ShadowPrediction", "ShiftScore"] * 3
    assert kinds(seen[shift:])[:2] == ["ShiftEvent", "AdaptationStep"]
    assert kinds(seen[shift + 2 :]) == ["ShadowPrediction", "ShiftScore", "AdaptationStep"] * 3
    assert [target.frame_index for target in learner.targets] == [2, 3, 4, 5]


def test_the_learner_sees_the_picture_and_the_answer_and_no_truth(cycle_of) -> None:
    learner = Noting()
    predictions = answers(range(4))
    consider_each(cycle_of(learner), predictions)
    target = learner.targets[-1]
    assert target.image_HWC is predictions[-1].frame.image_HWC and target.labels_HW is predictions[-1].labels_HW
    held = [getattr(target, name) for name in target.__slots__]
    assert not any(value is predictions[-1].frame or value is predictions[-1].frame.label_HW for value in held)


def test_of_several_predictions_all_are_watched_and_the_newest_is_learnt(cycle_of) -> None:
    learner = Noting()
    seen = list(cycle_of(learner).consider(answers(range(10))))
    assert Counter(kinds(seen)) == {"ShadowPrediction": 10, "ShiftScore": 10, "ShiftEvent": 1, "AdaptationStep": 1}
    assert [target.frame_index for target in learner.targets] == [9]


def test_without_a_learner_shifts_are_still_seen(cycle_of) -> None:
    seen = consider_each(cycle_of(None), answers(range(5)))
    assert "ShiftEvent" in kinds(seen) and "AdaptationStep" not in kinds(seen)


def test_recovery_and_giving_up_concern_the_learner_where_there_is_one(cycle_of) -> None:
    learner = Noting()
    (rollback,) = cycle_of(learner).recover(7)
    assert (rollback.frame_index, rollback.version) == (7, 4)
    cycle_of(learner).give_up()
    assert learner.is_retired
    assert list(cycle_of(None).recover(7)) == []
    cycle_of(None).give_up()


def test_nothing_predicted_is_nothing_done(cycle_of) -> None:
    learner = Noting(is_at_source=False)
    assert list(cycle_of(learner).consider([])) == [] and learner.relaxed == []


def test_frames_that_say_nothing_are_neither_watched_nor_learnt_from(cycle_of) -> None:
    learner = Noting()
    cycle = cycle_of(learner)
    consider_each(cycle, answers(range(5)))
    black = make_prediction(Frame(5, 100.5, np.zeros((32, 64, 3), np.uint8)))
    stuck = make_prediction(Frame(6, 100.6, np.zeros((32, 64, 3), np.uint8)))
    num_learnt = len(learner.targets)
    seen = consider_each(cycle, [black, stuck])
    assert kinds(seen) == ["ShadowPrediction", "FrameGated"] * 2 and len(learner.targets) == num_learnt


def test_an_unusable_newest_frame_leaves_the_one_before_to_learn_from(cycle_of) -> None:
    learner = Noting()
    cycle = cycle_of(learner)
    consider_each(cycle, answers(range(5)))
    black = make_prediction(Frame(7, 100.7, np.zeros((32, 64, 3), np.uint8)))
    list(cycle.consider([*answers([5, 6]), black]))
    assert learner.targets[-1].frame_index == 6


def test_a_cycle_goes_on_from_its_state_on_the_governors_level(cycle_of) -> None:
    first, second = (Governor(period_s=0.001) for _ in range(2))
    cycle, heir = cycle_of(Noting(), governor=first), cycle_of(Noting(), governor=second)
    consider_each(cycle, answers(range(30)))
    heir.load_state(unflatten(*flatten(cycle.state())))
    assert second.level == first.level > 0


def test_where_nothing_learns_nothing_is_shed(cycle_of) -> None:
    seen = consider_each(cycle_of(None, governor=Governor(period_s=0.001)), answers(range(60)))
    assert "GovernorChanged" not in kinds(seen)
