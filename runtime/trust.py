"""Trust: how much of what was learnt is worth serving, by how far it agrees with the frozen model on frames just seen.

Weights learnt for another weather answer otherwise than the frozen model. Where the two agree nearly everywhere there
is nothing to win, and what learning costs shows; in between, weights between the two win more than either (Wortsman
et al. 2022, "Robust fine-tuning of zero-shot models", eq. 1). So the served share of what was learnt grows from none
to all as agreement falls (benchmarks/results/trust_synthetic.md). Confidence does not tell: the frozen model is 0.95
sure at 2 mIoU in 200 mm/h of rain.

The other way round it does not hold: what was learnt in thick fog answers otherwise in thin fog too, and is wrong
there. So no more serves than the weather is away from the source, and where the two agree on nearly nine pixels in ten,
half of that: what there is to win is less then, and half way is never far from either. A decision only; knows neither
models nor frames.
"""

from collections import deque
from math import isnan, nan
from statistics import median

from runtime.state import State

BELOW = 0.985  # share of pixels
RAMP = 0.09  # that much further down all of it serves; with half of that, real dusk came out below frozen
READINGS = 3  # the median of so many: one odd frame decides nothing
FULL_DISTANCE = 2.0  # from the source, whose edge is 1, where none serves; dusk has 1.0 to 1.5, night and rain 2.1
UNLIKE, ALIKE = 0.80, 0.89  # agreement: up to the first, that distance is enough; from the second on, twice the way
SURE_BELOW = 0.1  # below the ramp's end; rain and night, at 0.3 and 0.6 to 0.7, are that far from any decision


class Trust:
    """One owner tells it every reading. Starts, and starts again after `reset`, with the frozen model.

    `below` is the share of pixels, above 0, below which what was learnt is worth serving; 1 lifts the limit.
    """

    def __init__(self, *, below: float = BELOW) -> None:
        if not 0 < below <= 1:
            raise ValueError(f"trust.below must be above 0, at most 1, got {below}; {BELOW} is the default")
        self._is_blind = below == 1
        self._below = below
        self._readings: deque[float] = deque(maxlen=READINGS)
        self._agreement = nan
        self._share = 1.0 if self._is_blind else 0.0

    @property
    def is_blind(self) -> bool:
        """Whether the limit is lifted, so that no reading changes anything."""
        return self._is_blind

    @property
    def share(self) -> float:
        """How far to go from the source weights to the learnt ones, in [0, 1]."""
        return self._share

    @property
    def is_adapted(self) -> bool:
        """Whether anything learnt is to serve."""
        return self._share > 0.0

    @property
    def is_sure(self) -> bool:
        """Whether all of it serves by readings so low that the next few would change nothing."""
        is_low = len(self._readings) == READINGS and max(self._readings) < self._below - RAMP - SURE_BELOW
        return is_low and self._share == 1.0

    @property
    def agreement(self) -> float:
        """What the last decision was made on, in [0, 1]; nan before the first."""
        return self._agreement

    def update(self, agreement: float, *, distance: float) -> bool:
        """Take in one reading, the share of pixels in [0, 1] on which all that was learnt and the frozen model agree,
        and how far frames are from the source now, 1 at its edge; whether `is_adapted` changed.
        """
        self._readings.append(agreement)
        if self._is_blind or len(self._readings) < READINGS:
            return False
        return self._decide(median(self._readings), distance)

    def doubt(self) -> None:
        """The stream has changed: decide on new readings alone. Until then things stay."""
        self._readings.clear()

    def take_up(self, agreement: float, *, distance: float) -> bool:
        """Go on from what was read when this domain, at that distance from the source, was left, nan for nothing; new
        readings may overturn it. Whether `is_adapted` changed.
        """
        self._readings.clear()
        return self._decide(agreement, distance)

    def reset(self) -> bool:
        """Back to the frozen model; whether that is a change."""
        return self.take_up(nan, distance=1.0)

    def _decide(self, agreement: float, distance: float) -> bool:
        was_adapted, self._agreement = self.is_adapted, agreement
        self._share = self._decided(agreement, distance)
        return self.is_adapted != was_adapted

    def _decided(self, agreement: float, distance: float) -> float:
        if self._is_blind:
            return 1.0
        if isnan(agreement):
            return 0.0
        earned = (self._below - agreement) / RAMP
        likeness = min(1.0, max(0.0, (agreement - UNLIKE) / (ALIKE - UNLIKE)))
        way = (FULL_DISTANCE - 1.0) * (1.0 + likeness)
        return min(1.0, max(0.0, min(earned, (distance - 1.0) / way)))

    def state(self) -> State:
        """Readings and decision."""
        return {"readings": list(self._readings), "agreement": self._agreement, "share": self._share}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"readings": list() as readings, "agreement": float() as agreement, "share": float() as share}:
                self._readings = deque(readings, maxlen=READINGS)
                self._agreement, self._share = agreement, share
            case _:
                raise ValueError("not the state of a trust")
