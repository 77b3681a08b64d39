"""The lockstep driver: predict, look, learn, one frame after the other, deterministic on CPU.

Same parts as the live driver, one thread, no clock in any decision. Used by tests, comparisons and every quality
figure.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from runtime.adaptation.cycle import AdaptationCycle
from runtime.intake import FrameCheck, captured
from runtime.observer import Event
from runtime.predictor import Predictor
from streams.frame import Frame
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
        check = FrameCheck()
        for item in self._stream:
            captured_at_s = self._clock()  # measured for the record; decides nothing
            dispatch(captured(item, captured_at_s))
            refused = check.turn_away(item, at_s=captured_at_s)
            for event in refused or self._answer(replace(item, captured_at_s=captured_at_s)):
                dispatch(event)
            if stop.is_set():
                break

    def _answer(self, frame: Frame) -> Iterator[Event]:
        prediction = self._predictor.predict(frame)
        yield prediction
        yield from self._cycle.consider([prediction])

    @property
    def left_behind(self) -> frozenset[str]:
        """Nobody can be."""
        return frozenset()

    def silences(self) -> Mapping[str, Callable[[], float]]:
        """No worker but the caller."""
        return {}

    def queue_depths(self) -> Mapping[str, Callable[[], float]]:
        """Nothing waits in lockstep."""
        return {}
