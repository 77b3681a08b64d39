"""The cycle: shadow, governor, gate, detector, learner, in this order, for whatever was predicted meanwhile."""

import math
from collections import Counter

import numpy as np
import pytest

from runtime import events
from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.learning import Learning
from runtime.adaptation.schedule import HOLD_FRAMES, LEAST_RATE, LearningSchedule
from runtime.adaptation.shadow_plan import ShadowPlan
from runtime.effort import Effort
from runtime.governor import Governor
from runtime.shift.appearance import appearance
from runtime.shift.calibration import calibrate
from runtime.shift.jumps import JumpWatch
from runtime.shift.monitor import ShiftMonitor
from runtime.state import flatten, unflatten
from streams.frame import Frame
from tests.fakes import ManualClock, make_prediction, make_recall, make_shadow, make_step


class Repeating:
    """A shadow that agrees with half of every answer."""

    def predict(self, prediction):
        return make_shadow(prediction)


class Noting:
    """A learner that keeps what it was given and says what it is told to say."""

    is_weighed = True
    is_surely_trusted = False

    def __init__(self, *, is_at_source: bool = True, rollback: events.Rollback | None = None) -> None:
        self.is_at_source = is_at_source
        self.targets = []
        self.depths = []
        self.relaxed = []
        self.weighed = []
        self.distances = []
        self.distrusted = []
        self.num_doubts = 0
        self.looked = []
        self.known = set()
        self.is_at_home = False
        self._rollback = rollback

    def learn(self, target, *, rate_share, depth, num_descents):
        assert LEAST_RATE <= rate_share <= 1.0 and num_descents == 1
        self.targets.append(target)
        self.depths.append(depth)
        self.is_at_source = False
        return make_step(target.frame_index), self._rollback

    def recall(self, frame_index, features_F):
        self.looked.append((frame_index, features_F))
        self.is_at_home = frame_index in self.known
        if not self.is_at_home:
            return ()
        self.is_at_source = False
        return (make_recall(frame_index),)

    def weigh(self, prediction, frozen_HW, *, distance):
        self.weighed.append((prediction.frame.index, frozen_HW))
        self.distances.append(distance)

    def doubt(self):
        self.num_doubts += 1

    def distrust(self, frame_index):
        self.distrusted.append(frame_index)

    def recover(self, frame_index):
        return events.Rollback(frame_index, 4, "recovered", 0.0)

    def retire(self):
        self.is_retired = True

    def relax(self, frame_index):
        self.relaxed.append(frame_index)
        return make_step(frame_index, outcome="relaxed")


def picture(index: int, *, brightness: float) -> Frame:
    rng = np.random.default_rng(1000 + index)
    light_W1 = np.linspace(-40, 40, 64)[:, None]  # noise alone would be refused as static
    image_HWC = (light_W1 + rng.normal(rng.uniform(110, 140), rng.uniform(20, 30), (32, 64, 3))) * brightness
    label_HW = np.full((32, 64), 5, np.uint8)
    return Frame(index, 100.0 + index / 10, image_HWC.clip(0, 255).astype(np.uint8), label_HW=label_HW, domain="dark")


@pytest.fixture(scope="module")
def source():
    return calibrate(
        np.stack([appearance(picture(-i - 1, brightness=1.0).image_HWC) for i in range(40)]), quantile=0.95
    )


@pytest.fixture
def cycle_of(source):
    def build(learner, *, share=1.0, governor=None, budget=120):
        shadow = ShadowPlan(Repeating(), share=share)
        learning = learner and Learning(
            learner,
            schedule=LearningSchedule(budget=budget),
            governor=governor or Governor(period_s=float("inf")),
            shadow=shadow,
        )
        return AdaptationCycle(
            ShiftMonitor(JumpWatch(source)), shadow=shadow, learning=learning, clock=ManualClock()
        )

    return build


def answers(indices, *, brightness=0.2):
    return [make_prediction(picture(index, brightness=brightness)) for index in indices]


def consider_each(cycle, predictions):
    return [event for prediction in predictions for event in cycle.consider([prediction])]


def kinds(seen) -> list[str]:
    return [type(event).__name__ for event in seen]


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


def test_at_the_source_weights_are_pulled_home_and_then_left(cycle_of) -> None:
    learner = Noting(is_at_source=False)
    cycle = cycle_of(learner)
    seen = consider_each(cycle, answers(range(3), brightness=1.0))
    assert learner.relaxed == [0, 1, 2] and learner.targets == []
    assert [event.outcome for event in seen if isinstance(event, events.AdaptationStep)] == ["relaxed"] * 3
    learner.is_at_source = True
    assert "AdaptationStep" not in kinds(consider_each(cycle, answers(range(3, 6), brightness=1.0)))


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


class Strained(Governor):
    """Stands on one level of effort, come what may."""

    def __init__(self, effort: Effort) -> None:
        super().__init__(period_s=math.inf)
        self._effort = effort

    @property
    def effort(self) -> Effort:
        return self._effort


def test_less_effort_means_fewer_smaller_shallower_steps(cycle_of) -> None:
    learner = Noting()
    governor = Strained(Effort("strained", 2, crop_share=0.5, depth="head"))
    consider_each(cycle_of(learner, governor=governor), answers(range(8)))
    assert [target.frame_index for target in learner.targets] == [3, 5, 7]
    assert {target.crop_share for target in learner.targets} == {0.5} and set(learner.depths) == {"head"}


def test_steps_shed_for_lack_of_time_keep_their_budget(cycle_of) -> None:
    learner = Noting()
    consider_each(cycle_of(learner, governor=Strained(Effort("rare", 2)), budget=3), answers(range(12)))
    assert [target.frame_index for target in learner.targets] == [3, 5, 7]


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


def test_a_cycle_goes_on_from_its_state_on_the_governors_level(cycle_of) -> None:
    first, second = (Governor(period_s=0.001) for _ in range(2))
    cycle, heir = cycle_of(Noting(), governor=first), cycle_of(Noting(), governor=second)
    consider_each(cycle, answers(range(30)))
    heir.load_state(unflatten(*flatten(cycle.state())))
    assert second.level == first.level > 0


def test_a_step_out_of_memory_moves_the_governor_and_is_told_after_it(cycle_of) -> None:
    class Hungry(Noting):
        def learn(self, target, *, rate_share, depth, num_descents):
            super().learn(target, rate_share=rate_share, depth=depth, num_descents=num_descents)
            return make_step(target.frame_index, outcome="oom"), events.Rollback(2, 0, "out of memory", 100.0)

    seen = consider_each(cycle_of(Hungry()), answers(range(3)))
    assert kinds(seen)[-3:] == ["AdaptationStep", "Rollback", "GovernorChanged"] and seen[-1].reason == "oom"


def test_where_nothing_learns_nothing_is_shed(cycle_of) -> None:
    seen = consider_each(cycle_of(None, governor=Governor(period_s=0.001)), answers(range(60)))
    assert "GovernorChanged" not in kinds(seen)


def test_a_rollback_follows_its_step(cycle_of) -> None:
    rollback = events.Rollback(2, 0, "loss is nan", 100.0)
    seen = consider_each(cycle_of(Noting(rollback=rollback)), answers(range(3)))
    assert kinds(seen)[-2:] == ["AdaptationStep", "Rollback"] and seen[-1] is rollback


def test_after_the_budget_one_frame_in_eight_is_learnt_from(cycle_of) -> None:
    learner = Noting()
    consider_each(cycle_of(learner, budget=3), answers(range(20)))
    assert [target.frame_index for target in learner.targets] == [2, 3, 4, 8, 16]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9, 1.0])
def test_shadows_are_spread_evenly(share) -> None:
    plan = ShadowPlan(Repeating(), share=share)
    shadowed = [bool(list(plan.events(prediction))) for prediction in answers(range(60))]
    assert sum(shadowed) == pytest.approx(60 * share, abs=1)
    for length in (10, 20, 30):
        counts = [sum(shadowed[first : first + length]) for first in range(60 - length)]
        assert max(counts) - min(counts) <= 1


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
