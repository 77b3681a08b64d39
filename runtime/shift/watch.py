"""Watches: from what is seen of a frame to how far it lies from the source, and perhaps a change.

`SignalWatch` is any signal before any detector; the default watch is in `runtime/shift/jumps.py`.
"""

from typing import Protocol, cast

from runtime.shift.detector import Detector
from runtime.shift.sight import Sight
from runtime.state import State, restore, state_of


class Signal(Protocol):
    """One float per frame, cheap; calibrated, so that +-1 is the edge of the source (`runtime/shift/detector.py`).

    One that smooths keeps a state (`runtime/state.py`). `typical` is the median of its readings of the source.
    """

    @property
    def typical(self) -> float: ...

    def read(self, sight: Sight) -> float: ...


class Watch(Protocol):
    @property
    def is_shifted(self) -> bool: ...

    def look(self, sight: Sight) -> tuple[float, str | None]:
        """Distance from the source, 1 at its edge, and the kind of shift this frame confirms, if any."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


class SignalWatch:
    """A signal and the detector that hears it."""

    def __init__(self, signal: Signal, detector: Detector) -> None:
        self._signal = signal
        self._detector = detector

    @property
    def is_shifted(self) -> bool:
        return self._detector.is_shifted

    def look(self, sight: Sight) -> tuple[float, str | None]:
        value = self._signal.read(sight)
        return abs(value), self._detector.update(value)

    def state(self) -> State:
        return {"signal": state_of(self._signal), "detector": self._detector.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        restore(self._signal, cast(State, state["signal"]))
        self._detector.load_state(cast(State, state["detector"]))
