"""Two exponential averages, a fast and a slow one: a change is where they part.

The slow one begins as the source's usual reading and, after a change, where the fast one is. Constant memory: two
floats. A drift slower than the slow average is not seen.
"""

from runtime.shift.detector import Side, room_within
from runtime.state import State


class TwoEma:
    """`limit_share` is in units of the way from the usual reading to the edge; weights are per frame."""

    def __init__(self, typical: float, *, fast: float = 0.25, slow: float = 0.02, limit_share: float = 1.0) -> None:
        room = room_within(typical)
        if not 0 < slow < fast <= 1:
            raise ValueError(f"weights must satisfy 0 < slow < fast <= 1, got slow {slow}, fast {fast}")
        self._fast_weight, self._slow_weight = fast, slow
        self._limit = limit_share * room
        self._fast = self._slow = typical
        self._side = Side()

    @property
    def is_shifted(self) -> bool:
        return self._side.is_shifted

    def update(self, value: float) -> str | None:
        self._fast += self._fast_weight * (value - self._fast)
        self._slow += self._slow_weight * (value - self._slow)
        if abs(self._fast - self._slow) <= self._limit:
            return None
        self._slow = self._fast
        return self._side.moved_to(self._fast)

    def state(self) -> State:
        """Both averages, and the side of the edge."""
        return {"fast": self._fast, "slow": self._slow, "is_shifted": self._side.is_shifted}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"fast": float(fast), "slow": float(slow), "is_shifted": bool(is_shifted)}:
                self._fast, self._slow, self._side.is_shifted = fast, slow, is_shifted
            case _:
                raise ValueError(f"not the state of two averages: it has the keys {sorted(state)}")
