"""What one prediction sets off: shadow, shift detection, and perhaps a learning step. The same part serves both
drivers.

    for event in cycle.consider([prediction]): dispatch(event)

Called inline by the lockstep driver and from the learner thread by the live one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from runtime.adaptation.learning import Learning
from runtime.adaptation.shadow_plan import ShadowPlan
from runtime.events import FrameGated, Prediction
from runtime.gate import InputGate
from runtime.observer import Event
from runtime.shift.appearance import appearance
from runtime.shift.monitor import ShiftMonitor
from runtime.snapshots import Snapshots
from runtime.state import State, restore, state_of


class AdaptationCycle:
    """Owned by one thread. Without learning (frozen method) it still watches for shifts."""

    def __init__(
        self,
        monitor: ShiftMonitor,
        *,
        shadow: ShadowPlan,
        learning: Learning | None,
        clock: Callable[[], float],
        snapshots: Snapshots | None = None,
    ) -> None:
        self._monitor = monitor
        self._shadow = shadow
        self._learning = learning
        self._clock = clock
        self._snapshots = snapshots
        self._gate = InputGate()
        self._score = 0.0

    def consider(self, predictions: Sequence[Prediction]) -> Iterator[Event]:
        """Watch every usable frame in order, act on the newest, and take a snapshot where one is due; yields events."""
        newest_usable = None
        for prediction in predictions:
            yield from self._shadow.events(prediction)
            if self._learning is not None:
                yield from self._learning.keep_pace(prediction)
            refusal = self._gate.refusal(prediction.frame)
            if refusal:
                yield FrameGated(frame_index=prediction.frame.index, reason=refusal, at_s=self._clock())
                continue
            newest_usable = prediction
            yield from self._watch(prediction)
        if self._learning is not None and newest_usable is not None:
            yield from self._learning.act(
                newest_usable, distance=self._score, appearance_F=self._monitor.smoothed_F
            )
        if self._snapshots is not None and self._snapshots.is_due():
            yield self._snapshots.take(self)

    def _watch(self, prediction: Prediction) -> Iterator[Event]:
        features_F = prediction.appearance_F
        features_F = appearance(prediction.frame.image_HWC) if features_F is None else features_F
        score, shift = self._monitor.update(prediction, at_s=self._clock(), features_F=features_F)
        self._score = score.score
        yield score
        if shift is not None:
            yield shift
        if self._learning is not None:
            yield from self._learning.look(prediction.frame.index, features_F, shift)

    def recover(self, frame_index: int) -> Iterator[Event]:
        """Ready to go on after `consider` raised: learning goes back to the last good candidate."""
        if self._learning is not None:
            yield from self._learning.recover(frame_index)

    def give_up(self) -> None:
        """Nothing is published from now on, not even by a step under way. Any thread."""
        if self._learning is not None:
            self._learning.retire()

    def state(self) -> State:
        """Everything watching and learning remember. Taken by the owner, between two calls of `consider`."""
        own: State = {"score": self._score}
        return own | {name: state_of(part) for name, part in self._parts().items()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        for name, part in self._parts().items():
            restore(part, cast(State, state[name]))
        self._score = cast(float, state["score"])

    def _parts(self) -> dict[str, object]:
        return {"monitor": self._monitor, "gate": self._gate, "shadow": self._shadow, "learning": self._learning}
