"""JumpWatch, the default: where the stream is by its distance from the source, sooner where its looks just jumped.

Scenery moves slowly along the whole range of the source and a little beyond, so the bars for leaving it and for coming
back lie wide apart. Weather that sets in moves the looks within a second: recent looks, against those since the last
event. For some frames after such a jump the bar in its direction is a near one, and one between shifted domains is a
change. A ramp has no jumps at first, but what it adds up to since the last event becomes one.
"""

# F features

import numpy as np
from torch import Tensor

from runtime.shift.calibration import SourceAppearance
from runtime.shift.hysteresis import Hysteresis
from runtime.shift.sight import Sight
from runtime.state import State, array_again, kept_array

AWAY_ABOVE, RETURN_BELOW = 1.4, 0.7  # shares of the source's threshold, without a jump
AWAY_ABOVE_AFTER_JUMP, RETURN_BELOW_AFTER_JUMP = 0.9, 1.1
RECENT_WEIGHT = 1 / 6  # of the newest frame
REFERENCE_WEIGHT = 1 / 60  # at least, in the mean over frames since the last event
LEAST_FRAMES = 5  # after an event, before there is a reference
SETTLING_FRAMES = 3  # after a jump, before it counts as a change: it may be the way back
FRESH_FRAMES = 15  # for which a jump moves the bars


class JumpWatch:
    """Distances are of the smoothed appearance; jumps are found in the appearance of each frame."""

    def __init__(self, source: SourceAppearance) -> None:
        self._source = source
        self._level = Hysteresis(away_above=AWAY_ABOVE, return_below=RETURN_BELOW)
        self._recent_F: np.ndarray | None = None
        self._reference_F: np.ndarray | None = None
        self._num_since = 0
        self._fresh_left = 0  # frames; positive after a jump away from the source, negative towards it
        self._settling_left = 0

    @property
    def is_shifted(self) -> bool:
        return self._level.is_shifted

    def look(self, sight: Sight) -> tuple[float, str | None]:
        score = self._source.distance(sight.smoothed_F) / self._source.threshold
        self._fresh_left -= int(np.sign(self._fresh_left))
        is_settled = self._settling_left == 1
        self._settling_left = max(0, self._settling_left - 1)
        if self._has_jumped(sight):
            assert self._reference_F is not None
            was = self._source.distance(self._reference_F) / self._source.threshold
            self._fresh_left = FRESH_FRAMES if score > was else -FRESH_FRAMES
            self._settling_left = SETTLING_FRAMES if self.is_shifted else 0
            self._begin_again(sight)
        kind = self._level.decide(score, self._bar())
        if kind is not None:
            self._fresh_left = self._settling_left = 0
        elif is_settled and self.is_shifted:
            kind = "change"
        if kind is not None:
            self._begin_again(sight)
        return score, kind

    def _bar(self) -> float:
        if self.is_shifted:
            return RETURN_BELOW_AFTER_JUMP if self._fresh_left < 0 else RETURN_BELOW
        return AWAY_ABOVE_AFTER_JUMP if self._fresh_left > 0 else AWAY_ABOVE

    def _has_jumped(self, sight: Sight) -> bool:
        """Whether recent looks are far from those since the last event; takes this frame into both."""
        if self._recent_F is None or self._reference_F is None:
            self._begin_again(sight)
            return False
        self._num_since += 1
        self._recent_F = self._recent_F + RECENT_WEIGHT * (sight.appearance_F - self._recent_F)
        weight = max(1 / (self._num_since + 1), REFERENCE_WEIGHT)
        self._reference_F = self._reference_F + weight * (sight.appearance_F - self._reference_F)
        if self._settling_left or self._num_since < LEAST_FRAMES:
            return False
        threshold = self._source.change_threshold if self.is_shifted else self._source.jump_threshold
        return self._source.jump(self._recent_F, self._reference_F) > threshold

    def _begin_again(self, sight: Sight) -> None:
        self._recent_F = self._reference_F = sight.smoothed_F
        self._num_since = 0

    def state(self) -> State:
        """The side, recent and reference looks, and what a jump left behind."""
        return {
            "level": self._level.state(),
            "recent": kept_array(self._recent_F),
            "reference": kept_array(self._reference_F),
            "num_since": self._num_since,
            "fresh_left": self._fresh_left,
            "settling_left": self._settling_left,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "level": dict(level),
                "recent": Tensor() | None as recent_F,
                "reference": Tensor() | None as reference_F,
                "num_since": int(num_since),
                "fresh_left": int(fresh_left),
                "settling_left": int(settling_left),
            }:
                self._level.load_state(level)
                self._recent_F, self._reference_F = array_again(recent_F), array_again(reference_F)
                self._num_since, self._fresh_left, self._settling_left = num_since, fresh_left, settling_left
            case _:
                raise ValueError(f"not the state of a jump watch: it has the keys {sorted(state)}")
