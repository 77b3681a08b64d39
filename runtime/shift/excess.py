"""Excess: how much values have been above what was allowed, summed since they last were not (Page 1954).

S_t = max(0, S_{t-1} + x_t), "Continuous inspection schemes", Biometrika 41, eq. 1 in its recursive form. Knows no
thresholds; also says how long the sum has been growing, which dates the change and gives the level after it.
"""

from runtime.state import State


class Excess:
    """One-sided cumulative sum."""

    def __init__(self) -> None:
        self.reset()

    @property
    def total(self) -> float:
        """At least 0."""
        return self._total

    @property
    def num(self) -> int:
        """Frames since the sum last was 0."""
        return self._num

    @property
    def mean(self) -> float:
        """Mean excess since the sum last was 0; 0 where it is now."""
        return self._total / self._num if self._num else 0.0

    def reset(self) -> None:
        self._total = 0.0
        self._num = 0

    def add(self, excess: float) -> None:
        """One frame's value less what is allowed; negative where there is no excess."""
        self._total = max(0.0, self._total + excess)
        self._num = self._num + 1 if self._total > 0 else 0

    def state(self) -> State:
        return {"total": self._total, "num": self._num}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"total": float(total), "num": int(num)}:
                self._total, self._num = total, num
            case _:
                raise ValueError(f"not the state of an excess: it has the keys {sorted(state)}")
