"""What one prediction sets off: shadow, shift detection, and perhaps a learning step. The same part serves both
drivers.

    for event in cycle.consider([prediction]): dispatch(event)

Called inline by the lockstep driver and from the learner thread by the live one. Truth stops here: only image and
prediction go on to the learner.
"""

# H height, W width

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np

from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Target
from runtime.adaptation.schedule import Action, LearningSchedule
from runtime.events import FrameGated, Prediction, ShadowPrediction, ShiftEvent
from runtime.gate import InputGate
from runtime.governor import Governor
from runtime.observer import Event
from runtime.predictor import Shadow
from runtime.shift.appearance import appearance
from runtime.shift.monitor import ShiftMonitor
from runtime.snapshots import Snapshots
from runtime.state import State, restore, state_of

WEIGH_PERIOD = 2  # frames between comparisons of adapted and frozen, a forward pass each unless shadowed anyway
SURE_PERIOD = 4  # times as many while the two differ so much that there is nothing to decide
RELUCTANT_PERIOD = 6  # times as many while learning is off for lack of room; between steps it grows with their period


class ShadowPlan:
    """Which frames the frozen model also predicts: evenly spread, `share` of them."""

    def __init__(self, shadow: Shadow, *, share: float) -> None:
        self._shadow = shadow
        self._share = share
        self._credit = 0.0
        self._newest: ShadowPrediction | None = None

    def events(self, prediction: Prediction) -> Iterator[Event]:
        self._credit += self._share
        if self._credit >= 1.0 - 1e-9:
            self._credit -= 1.0
            self._newest = self._shadow.predict(prediction)
            yield self._newest

    def frozen_labels(self, prediction: Prediction) -> np.ndarray:
        """What the frozen model says of this frame, uint8 (H, W); computed unless it was the last one shadowed."""
        if self._newest is None or self._newest.frame is not prediction.frame:
            self._newest = self._shadow.predict(prediction)
        return self._newest.labels_HW

    def state(self) -> State:
        """How near the next shadowed frame is."""
        return {"credit": self._credit}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"credit": float(credit)}:
                self._credit = credit
            case _:
                raise ValueError(f"not the state of a shadow plan: it has the keys {sorted(state)}")


class AdaptationCycle:
    """Owned by one thread. Without a learner (frozen method) it still watches for shifts."""

    def __init__(
        self,
        monitor: ShiftMonitor,
        *,
        schedule: LearningSchedule,
        governor: Governor,
        shadow: ShadowPlan,
        learner: Learner | None,
        clock: Callable[[], float],
        snapshots: Snapshots | None = None,
    ) -> None:
        self._monitor = monitor
        self._schedule = schedule
        self._governor = governor
        self._shadow = shadow
        self._learner = learner
        self._clock = clock
        self._snapshots = snapshots
        self._gate = InputGate()
        self._score = 0.0
        self._weighed_frame = -WEIGH_PERIOD

    def consider(self, predictions: Sequence[Prediction]) -> Iterator[Event]:
        """Watch every usable frame in order, act on the newest, and take a snapshot where one is due; yields events."""
        newest_usable = None
        for prediction in predictions:
            yield from self._shadow.events(prediction)
            if self._learner is not None and (changed := self._governor.update(prediction)) is not None:
                yield changed
            refusal = self._gate.refusal(prediction.frame)
            if refusal:
                yield FrameGated(frame_index=prediction.frame.index, reason=refusal, at_s=self._clock())
                continue
            newest_usable = prediction
            features_F = prediction.appearance_F
            features_F = appearance(prediction.frame.image_HWC) if features_F is None else features_F
            score, shift = self._monitor.update(prediction, at_s=self._clock(), features_F=features_F)
            self._score = score.score
            yield score
            if shift is not None:
                yield shift
                yield from self._notice(shift)
            if self._learner is not None:
                yield from self._recognise(self._learner, prediction.frame.index, features_F)
        if self._learner is not None and newest_usable is not None:
            yield from self._weigh(self._learner, newest_usable)
            yield from self._act(self._learner, newest_usable)
        if self._snapshots is not None and self._snapshots.is_due():
            yield self._snapshots.take(self)

    def _notice(self, shift: ShiftEvent) -> Iterator[Event]:
        self._schedule.notice(shift)
        if self._learner is None:
            return
        if shift.kind == "change":
            self._learner.doubt()
        elif shift.kind == "return":
            changed = self._learner.distrust(shift.frame_index)
            if changed is not None:
                yield changed

    def _recognise(self, learner: Learner, frame_index: int, features_F: np.ndarray) -> Iterator[Event]:
        """What was learnt when frames looked like this before comes back before any detector can be sure."""
        yield from learner.recall(frame_index, features_F)
        if learner.is_at_home:
            self._schedule.hold(frame_index)

    def _weigh(self, learner: Learner, prediction: Prediction) -> Iterator[Event]:
        """Is what was learnt worth serving? Asked while there is something learnt."""
        period = WEIGH_PERIOD * (self._governor.effort.frames_per_step or RELUCTANT_PERIOD)
        if learner.is_surely_trusted:
            period *= SURE_PERIOD
        if learner.is_at_source or not learner.is_weighed or prediction.frame.index < self._weighed_frame + period:
            return
        self._weighed_frame = prediction.frame.index
        changed = learner.weigh(prediction, self._shadow.frozen_labels(prediction), distance=self._score)
        if changed is not None:
            yield changed

    def recover(self, frame_index: int) -> Iterator[Event]:
        """Ready to go on after `consider` raised: learning goes back to the last good candidate."""
        if self._learner is not None:
            yield self._learner.recover(frame_index)

    def give_up(self) -> None:
        """Nothing is published from now on, not even by a step under way. Any thread."""
        if self._learner is not None:
            self._learner.retire()

    def _act(self, learner: Learner, prediction: Prediction) -> Iterator[Event]:
        frame = prediction.frame
        match self._schedule.decide(frame.index, is_at_source=learner.is_at_source):
            case Action.LEARN:
                if not self._governor.admits_step():
                    return
                effort, rate_share = self._governor.effort, self._schedule.rate_share(self._score)
                num_descents = self._schedule.spend(is_at_source=learner.is_at_source)
                target = Target(
                    frame.index,
                    frame.image_HWC,
                    prediction.labels_HW,
                    prediction.confident_share,
                    crop_share=effort.crop_share,
                    appearance_F=self._monitor.smoothed_F,
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

    def state(self) -> State:
        """Everything watching and learning remember. Taken by the owner, between two calls of `consider`."""
        own: State = {"score": self._score, "weighed_frame": self._weighed_frame}
        return own | {name: state_of(part) for name, part in self._parts().items()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        for name, part in self._parts().items():
            restore(part, cast(State, state[name]))
        self._score = cast(float, state["score"])
        self._weighed_frame = cast(int, state["weighed_frame"])

    def _parts(self) -> dict[str, object]:
        return {
            "monitor": self._monitor,
            "schedule": self._schedule,
            "governor": self._governor,
            "gate": self._gate,
            "shadow": self._shadow,
            "learner": self._learner,
        }
