"""How late adaptation is, in three parts: from a domain's first frame to its detection, to the first version served
that was learnt in it or recalled for it, and (in `evaluation/visits.py`) to the plateau.

An observer that knows the true domain of each frame from the frame itself. All parts count frames of the stream, so
frames that were dropped count too.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast  # Any: what a state holds

from runtime.events import AdaptationStep, Prediction, Recall, ShiftEvent, TrustChanged
from runtime.observer import Event
from runtime.state import State

MAX_LISTED = 256


@dataclass(slots=True)
class Lag:
    """One visit. `detected` and `served` are frames after `first_frame`, None while neither has happened.

    `version` is the first one published for a frame of the visit; the first answer by it or a later one is `served`.
    """

    domain: str
    visit: int
    first_frame: int
    detected: int | None = None
    version: int | None = None
    served: int | None = None


class LagLog:
    """Observer; holds the newest MAX_LISTED visits. A stream without domains has one visit, that begins it."""

    def __init__(self) -> None:
        self._lags: deque[Lag] = deque(maxlen=MAX_LISTED)
        self._num_visits = 0

    def lags(self) -> tuple[Lag, ...]:
        """Visits in order; the run's first among them, though nothing changed there."""
        return tuple(self._lags)

    def observe(self, event: Event) -> None:
        match event:
            case Prediction():
                self._answer(event)
            case ShiftEvent(frame_index=frame):
                if (lag := self._visit_of(frame)) is not None and lag.detected is None:
                    lag.detected = frame - lag.first_frame
            case (
                AdaptationStep(frame_index=frame, outcome="applied", version=version)
                | TrustChanged(frame_index=frame, is_adapted=True, version=version)
                | Recall(frame_index=frame, refusal="", version=version)
            ):
                self._publish(frame, version)

    def state(self) -> State:
        """A copy."""
        rows = [[lag.domain, lag.visit, lag.first_frame, lag.detected, lag.version, lag.served] for lag in self._lags]
        return {"num_visits": self._num_visits, "lags": cast(list[Any], rows)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"num_visits": int(num_visits), "lags": list(rows)}:
                self._num_visits = num_visits
                self._lags = deque((Lag(*row) for row in rows), maxlen=MAX_LISTED)
            case _:
                raise ValueError(f"not the state of a log of lags: it has the keys {sorted(state)}")

    def _answer(self, prediction: Prediction) -> None:
        frame, domain = prediction.frame.index, prediction.frame.domain or ""
        if not self._lags or self._lags[-1].domain != domain:
            self._lags.append(Lag(domain, self._num_visits, frame))
            self._num_visits += 1
        lag = self._lags[-1]
        if lag.version is not None and lag.served is None and prediction.version >= lag.version:
            lag.served = frame - lag.first_frame

    def _publish(self, frame: int, version: int) -> None:
        if (lag := self._visit_of(frame)) is not None and lag.version is None:
            lag.version = version

    def _visit_of(self, frame: int) -> Lag | None:
        """Of a frame answered earlier; events of learning may come after the stream has moved on."""
        return next((lag for lag in self._newest_first() if lag.first_frame <= frame), None)

    def _newest_first(self) -> Iterator[Lag]:
        return reversed(self._lags)
