"""How late adaptation is, in three parts: from a domain's first frame to its detection, to the first answer by a
version that was learnt in this visit, recalled for it or given its statistics, and (in `evaluation/visits.py`) to the
plateau.

What is learnt or recalled may stay in the shadow, while the source model (version 0) serves; it counts once it comes to
serve. Weights learnt before the visit that merely come to be trusted in it do not. An observer that knows the true
domain of each frame from the frame itself. All parts count frames of the stream, so frames that were dropped count too.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any, cast  # Any: what a state holds

from runtime.events import AdaptationStep, Prediction, Recall, ShiftEvent, StatisticsTaken, TrustChanged
from runtime.observer import Event
from runtime.state import State

MAX_LISTED = 256


@dataclass(slots=True)
class Lag:
    """One visit. `detected` and `served` are frames after `first_frame`, None while neither has happened.

    `is_learnt` says that weights were learnt in the visit or recalled for it, though perhaps kept in the shadow, or
    serve under its statistics; `version`, above 0, is the first published since, for a frame of the visit. The first
    answer by it or a later one is `served`.
    """

    domain: str
    visit: int
    first_frame: int
    detected: int | None = None
    version: int | None = None
    served: int | None = None
    is_learnt: bool = False


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
                AdaptationStep(frame_index=frame, outcome="applied" | "shadowed", version=version)
                | Recall(frame_index=frame, refusal="", version=version)
                | StatisticsTaken(frame_index=frame, version=version)
            ):
                self._publish(frame, version, is_learnt=True)
            case TrustChanged(frame_index=frame, is_adapted=True, version=version):
                self._publish(frame, version, is_learnt=False)

    def state(self) -> State:
        """A copy."""
        rows = [list(astuple(lag)) for lag in self._lags]
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

    def _publish(self, frame: int, version: int, *, is_learnt: bool) -> None:
        """`version` serves now, 0 for the source; `is_learnt` where the event is one of learning, not of trust."""
        if (lag := self._visit_of(frame)) is None:
            return
        lag.is_learnt = lag.is_learnt or is_learnt
        if lag.is_learnt and lag.version is None and version > 0:
            lag.version = version

    def _visit_of(self, frame: int) -> Lag | None:
        """Of a frame answered earlier; events of learning may come after the stream has moved on."""
        return next((lag for lag in self._newest_first() if lag.first_frame <= frame), None)

    def _newest_first(self) -> Iterator[Lag]:
        return reversed(self._lags)
