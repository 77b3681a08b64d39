"""Trust: whether what was learnt is worth serving, by how far it agrees with the frozen model on frames just seen.

Weights learnt for another weather answer otherwise than the frozen model. Where the two agree nearly everywhere there
is nothing to win, and what learning costs shows: of 36 visits in rain, fog, dusk, night and low sun, the 15 with at
most 83 % agreement gained 9 to 27 mIoU points, the others -3.6 to +2.8 (benchmarks/results/trust_synthetic.md).
Confidence does not tell the two apart: the frozen model is 0.95 sure at 2 mIoU in 200 mm/h of rain.
A decision only; knows neither models nor frames.
"""

from collections import deque
from statistics import median

from runtime.state import State

ENTER = 0.82  # share of pixels
HYSTERESIS = 0.06  # above it the frozen model comes back; in between things stay as they are
READINGS = 3  # the median of so many: one odd frame decides nothing


class Trust:
    """One owner tells it every reading. Starts, and starts again after `reset`, with the frozen model.

    `enter` is the share of pixels, above 0, below which what was learnt is worth serving; 1 lifts the limit.
    """

    def __init__(self, *, enter: float = ENTER) -> None:
        if not 0 < enter <= 1:
            raise ValueError(f"trust.enter must be above 0, at most 1, got {enter}; {ENTER} is the default")
        self._is_blind = enter == 1
        self._enter = enter
        self._leave = enter + HYSTERESIS
        self._readings: deque[float] = deque(maxlen=READINGS)
        self._is_adapted = self._is_blind
        self._is_doubted = False

    @property
    def is_blind(self) -> bool:
        """Whether the limit is lifted, so that no reading changes anything."""
        return self._is_blind

    @property
    def is_adapted(self) -> bool:
        """Whether the adapted model is to serve."""
        return self._is_adapted

    @property
    def agreement(self) -> float:
        """What the last decision was made on, in [0, 1]; nan before the first reading."""
        return median(self._readings) if self._readings else float("nan")

    def update(self, agreement: float) -> bool:
        """Take in one reading, a share of pixels in [0, 1]; whether the decision changed."""
        self._readings.append(agreement)
        if self._is_blind or len(self._readings) < READINGS:
            return False
        before = self._is_adapted
        self._is_adapted = self.agreement < (self._leave if before and not self._is_doubted else self._enter)
        self._is_doubted = False
        return self._is_adapted != before

    def doubt(self) -> None:
        """The stream has changed: decide anew, on new readings, as if nothing served yet. Until then things stay."""
        self._readings.clear()
        self._is_doubted = True

    def take_up(self, *, is_adapted: bool) -> bool:
        """Go on from what was decided when this domain was left; new readings may overturn it. Whether it changes."""
        before, self._is_adapted = self._is_adapted, is_adapted or self._is_blind
        self._readings.clear()
        self._is_doubted = False
        return before != self._is_adapted

    def reset(self) -> bool:
        """Back to the frozen model; whether that is a change."""
        return self.take_up(is_adapted=False)

    def state(self) -> State:
        """Readings and decision."""
        readings = list(self._readings)
        return {"readings": readings, "is_adapted": self._is_adapted, "is_doubted": self._is_doubted}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"readings": list() as readings, "is_adapted": bool() as adapted, "is_doubted": bool() as doubted}:
                self._readings = deque(readings, maxlen=READINGS)
                self._is_adapted, self._is_doubted = adapted, doubted
            case _:
                raise ValueError("not the state of a trust")
