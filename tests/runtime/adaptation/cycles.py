"""Cycles over dark and light pictures, with a learner that notes what it is asked for."""

import math

import numpy as np

from runtime import events
from runtime.adaptation.schedule import LEAST_RATE
from runtime.effort import Effort
from runtime.governor import Governor
from streams.frame import Frame
from tests.fakes import make_prediction, make_recall, make_shadow, make_step


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
        self.far = set()
        self.periods = []
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

    def follow_stream(self, frame, features_F, *, period):
        assert features_F is self.looked[-1][1], "the same frame"
        self.periods.append(period)
        return events.StatisticsTaken(frame.index, 0.5, 3, 100.0) if frame.index in self.far else None

    def weigh(self, prediction, frozen_HW, *, distance):
        self.weighed.append((prediction.frame.index, frozen_HW))
        self.distances.append(distance)
        return ()

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


def answers(indices, *, brightness=0.2):
    return [make_prediction(picture(index, brightness=brightness)) for index in indices]


def consider_each(cycle, predictions):
    return [event for prediction in predictions for event in cycle.consider([prediction])]


def kinds(seen) -> list[str]:
    return [type(event).__name__ for event in seen]


class Strained(Governor):
    """Stands on one level of effort, come what may."""

    def __init__(self, effort: Effort) -> None:
        super().__init__(period_s=math.inf)
        self._effort = effort

    @property
    def effort(self) -> Effort:
        return self._effort
