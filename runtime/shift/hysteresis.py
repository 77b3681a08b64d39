"""Hysteresis: away above one bar, back below a lower one, each confirmed by several frames in a row.

Says where the stream is and nothing of changes between shifted domains.
"""

from runtime.shift.detector import EDGE, RETURN_SHARE
from runtime.state import State


class Hysteresis:
    """Bars are distances from the source, sign apart, in units of its edge."""

    def __init__(
        self, *, away_above: float = EDGE, return_below: float = RETURN_SHARE * EDGE, confirm_frames: int = 3
    ) -> None:
        if not 0 < return_below <= away_above:
            raise ValueError(
                f"hysteresis.return_below must be above 0 and at most away_above = {away_above}, got {return_below}"
            )
        self._away_above = away_above
        self._return_below = return_below
        self._confirm_frames = confirm_frames
        self._is_shifted = False
        self._num_contrary = 0

    @property
    def is_shifted(self) -> bool:
        return self._is_shifted

    def update(self, value: float) -> str | None:
        return self.decide(value, self._return_below if self._is_shifted else self._away_above)

    def decide(self, value: float, bar: float) -> str | None:
        """The same against a bar of the caller's choice, for this frame only."""
        is_contrary = abs(value) < bar if self._is_shifted else abs(value) > bar
        self._num_contrary = self._num_contrary + 1 if is_contrary else 0
        if self._num_contrary < self._confirm_frames:
            return None
        self._num_contrary = 0
        self._is_shifted = not self._is_shifted
        return "away" if self._is_shifted else "return"

    def state(self) -> State:
        """The side of the bars, and frames against it."""
        return {"is_shifted": self._is_shifted, "num_contrary": self._num_contrary}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"is_shifted": bool(is_shifted), "num_contrary": int(num_contrary)}:
                self._is_shifted, self._num_contrary = is_shifted, num_contrary
            case _:
                raise ValueError(f"not the state of a hysteresis: it has the keys {sorted(state)}")
