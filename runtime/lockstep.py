"""The lockstep driver: predict, look, learn, one frame after the other, deterministic on CPU.

Same parts as the live driver, one thread, no clock in any decision. Used by tests, comparisons and every quality
figure.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from runtime.adaptation.cycle import AdaptationCycle
from runtime.events import Event, FrameCaptured
from runtime.predictor import Predictor
from streams.stream import Stream


class Lockstep:
    """Drives a finite or endless stream until it ends or `stop` is set."""

    def __init__(
        self, stream: Stream, predictor: Predictor, cycle: AdaptationCycle, *, clock: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._predictor = predictor
        self._cycle = cycle
        self._clock = clock

    def run(self, dispatch: Callable[[Event], None], stop: threading.Event) -> None:
        """Every event goes through `dispatch`, in the caller's thread."""
        for frame in self._stream:
            captured_at_s = self._clock()  # measured for the record; decides nothing
            dispatch(FrameCaptured(index=frame.index, at_s=captured_at_s))
            prediction = self._predictor.predict(replace(frame, captured_at_s=captured_at_s))
            dispatch(prediction)
            for event in self._cycle.consider([prediction]):
                dispatch(event)
            if stop.is_set():
                break

    def queue_depths(self) -> Mapping[str, Callable[[], float]]:
        """Nothing waits in lockstep."""
        return {}
