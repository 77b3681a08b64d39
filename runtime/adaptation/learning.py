"""Learning: what a frame, once it has been watched, sets off in the learner, if anything.

    yield from learning.keep_pace(prediction)                       # every prediction
    yield from learning.look(index, features_F, shift)              # every usable frame
    yield from learning.act(newest, distance=score, appearance_F=looks_F)

The schedule decides by shifts when to learn, the governor by the time that is left whether to, the shadow is what the
outcome is weighed against. Truth stops here: only image and prediction go on to the learner.
"""

# F features

from collections.abc import Iterator
from typing import cast

import numpy as np

from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Target
from runtime.adaptation.schedule import Action, LearningSchedule
from runtime.adaptation.shadow_plan import ShadowPlan
from runtime.events import Prediction, ShiftEvent
from runtime.governor import Governor
from runtime.observer import Event
from runtime.state import State, restore, state_of

WEIGH_PERIOD = 2  # frames between comparisons of adapted and frozen, a forward pass each unless shadowed anyway
SURE_PERIOD = 4  # times as many while the two differ so much that there is nothing to decide
RELUCTANT_PERIOD = 6  # times as many while learning is off for lack of room; between steps it grows with their period


class Learning:
    """Owned by the cycle's thread, but for `retire`."""

    def __init__(
        self, learner: Learner, *, schedule: LearningSchedule, governor: Governor, shadow: ShadowPlan
    ) -> None:
        self._learner = learner
        self._schedule = schedule
        self._governor = governor
        self._shadow = shadow
        self._weighed_frame = -WEIGH_PERIOD
        self._features_F: np.ndarray | None = None  # of the frame looked at last

    def keep_pace(self, prediction: Prediction) -> Iterator[Event]:
        """How late a prediction was decides how much may be learnt."""
        if (changed := self._governor.update(prediction)) is not None:
            yield changed

    def look(self, frame_index: int, features_F: np.ndarray, shift: ShiftEvent | None) -> Iterator[Event]:
        """Take notice of a shift. What was learnt when frames looked like this before comes back, before any detector
        can be sure.
        """
        self._features_F = features_F
        if shift is not None:
            yield from self._notice(shift)
        yield from self._learner.recall(frame_index, features_F)
        if self._learner.is_at_home:
            self._schedule.hold(frame_index)

    def act(self, prediction: Prediction, *, distance: float, appearance_F: np.ndarray | None) -> Iterator[Event]:
        """Of the frame looked at last: follow its statistics, weigh what was learnt and perhaps learn, in weather that
        looks like `appearance_F`, at that distance from the source (1 is its edge).
        """
        if self._features_F is not None:
            period = self._frames_per_step
            taken = self._learner.follow_stream(prediction.frame, self._features_F, period=period)
            if taken is not None:
                yield taken
        yield from self._weigh(prediction, distance)
        yield from self._step(prediction, distance, appearance_F)

    def recover(self, frame_index: int) -> Iterator[Event]:
        """Ready to go on after an exception: back to the last good candidate."""
        yield self._learner.recover(frame_index)

    def retire(self) -> None:
        """Publish nothing any more. Any thread."""
        self._learner.retire()

    def _notice(self, shift: ShiftEvent) -> Iterator[Event]:
        self._schedule.notice(shift)
        if shift.kind == "change":
            self._learner.doubt()
        elif shift.kind == "return" and (changed := self._learner.distrust(shift.frame_index)) is not None:
            yield changed

    def _weigh(self, prediction: Prediction, distance: float) -> Iterator[Event]:
        """Is what was learnt worth serving? Asked while there is something learnt."""
        learner, frame_index = self._learner, prediction.frame.index
        period = WEIGH_PERIOD * self._frames_per_step
        if learner.is_surely_trusted:
            period *= SURE_PERIOD
        if learner.is_at_source or not learner.is_weighed or frame_index < self._weighed_frame + period:
            return
        self._weighed_frame = frame_index
        yield from learner.weigh(prediction, self._shadow.frozen_labels(prediction), distance=distance)

    def _step(self, prediction: Prediction, distance: float, appearance_F: np.ndarray | None) -> Iterator[Event]:
        frame, learner = prediction.frame, self._learner
        match self._schedule.decide(frame.index, is_at_source=learner.is_at_source):
            case Action.LEARN:
                if not self._governor.admits_step():
                    return
                effort, rate_share = self._governor.effort, self._schedule.rate_share(distance)
                num_descents = self._schedule.spend(frame.index, is_at_source=learner.is_at_source)
                target = Target(
                    frame.index,
                    frame.image_HWC,
                    prediction.labels_HW,
                    prediction.confident_share,
                    crop_share=effort.crop_share,
                    appearance_F=appearance_F,
                )
                if effort.frames_per_step > 1:
                    num_descents = 1
                step, rollback = learner.learn(
                    target, rate_share=rate_share, depth=effort.depth, num_descents=num_descents
                )
            case Action.RELAX:
                step, rollback = learner.relax(frame.index), None
            case Action.REST:
                return
        yield step
        if rollback is not None:
            yield rollback
        if (changed := self._governor.note_step(step)) is not None:
            yield changed

    @property
    def _frames_per_step(self) -> int:
        """By how much what is no step is spread, too, where time is short."""
        return self._governor.effort.frames_per_step or RELUCTANT_PERIOD

    def state(self) -> State:
        """What learner, schedule and governor remember, and when the last comparison was."""
        own: State = {"weighed_frame": self._weighed_frame}
        return own | {name: state_of(part) for name, part in self._parts().items()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        for name, part in self._parts().items():
            restore(part, cast(State, state[name]))
        self._weighed_frame = cast(int, state["weighed_frame"])

    def _parts(self) -> dict[str, object]:
        return {"schedule": self._schedule, "governor": self._governor, "learner": self._learner}
