"""Which frames the frozen model answers too, to score and to weigh what was learnt against."""

# H height, W width

from collections.abc import Iterator

import numpy as np

from runtime.events import Prediction, ShadowPrediction
from runtime.observer import Event
from runtime.predictor import Shadow
from runtime.state import State


class ShadowPlan:
    """One owner. Frames are evenly spread, `share` of them."""

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
