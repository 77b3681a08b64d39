"""CUSUM: sums of what exceeds a fixed reference by more than a slack, up and down (Page 1954, Biometrika 41).

S+ = max(0, S+ + x - reference - slack), S- likewise for the other side; a sum above the limit is a change. The level
after it, reference + slack + S / frames since S was 0 (Montgomery, "Introduction to Statistical Quality Control",
eq. 9.5), is the next reference: nothing has to be learnt anew. The first is the source's usual reading.
"""

from runtime.shift.detector import Side, room_within
from runtime.shift.excess import Excess
from runtime.state import State


class Cusum:
    """Two-sided; `slack_share` and `limit_frames` are in units of the way from the usual reading to the edge.

    A step by s such units is found after limit_frames / (s - slack_share) frames.
    """

    def __init__(self, typical: float, *, slack_share: float = 1.0, limit_frames: float = 8.0) -> None:
        room = room_within(typical)
        self._reference = typical
        self._slack = slack_share * room
        self._limit = limit_frames * room
        self._above, self._below = Excess(), Excess()
        self._side = Side()

    @property
    def is_shifted(self) -> bool:
        return self._side.is_shifted

    def update(self, value: float) -> str | None:
        self._above.add(value - self._reference - self._slack)
        self._below.add(self._reference - value - self._slack)
        if max(self._above.total, self._below.total) <= self._limit:
            return None
        is_up = self._above.total > self._limit
        move = self._slack + (self._above if is_up else self._below).mean
        self._reference += move if is_up else -move
        self._above.reset()
        self._below.reset()
        return self._side.moved_to(self._reference)

    def state(self) -> State:
        """Reference, both sums, and the side of the edge."""
        return {
            "reference": self._reference,
            "above": self._above.state(),
            "below": self._below.state(),
            "is_shifted": self._side.is_shifted,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"reference": float(reference), "above": dict(above), "below": dict(below), "is_shifted": bool(side)}:
                self._above.load_state(above)
                self._below.load_state(below)
                self._reference, self._side.is_shifted = reference, side
            case _:
                raise ValueError(f"not the state of a CUSUM: it has the keys {sorted(state)}")
