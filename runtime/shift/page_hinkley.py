"""Page-Hinkley: a cumulative sum against the running mean instead of a fixed reference (Hinkley 1971, Biometrika 58).

As m_t = sum(x_i - mean_i - slack) and its least value M_t, alarm at m_t - M_t > limit, for rises; for falls mirrored.
m_t - M_t obeys the recursion of `Excess`. The mean follows a drift, so what is found are changes faster than that. It
begins as the source's usual reading with the weight of some frames.
"""

from runtime.shift.detector import Side, room_within
from runtime.shift.excess import Excess
from runtime.state import State


class PageHinkley:
    """Two-sided; `slack_share` and `limit_frames` are in units of the way from the usual reading to the edge."""

    def __init__(
        self, typical: float, *, slack_share: float = 0.5, limit_frames: float = 8.0, prior_frames: int = 30
    ) -> None:
        room = room_within(typical)
        self._slack = slack_share * room
        self._limit = limit_frames * room
        self._mean, self._num = typical, prior_frames
        self._above, self._below = Excess(), Excess()
        self._side = Side()

    @property
    def is_shifted(self) -> bool:
        return self._side.is_shifted

    def update(self, value: float) -> str | None:
        self._num += 1
        self._mean += (value - self._mean) / self._num
        self._above.add(value - self._mean - self._slack)
        self._below.add(self._mean - value - self._slack)
        if max(self._above.total, self._below.total) <= self._limit:
            return None
        is_up = self._above.total > self._limit
        found = self._above if is_up else self._below
        move = self._slack + found.mean
        self._mean, self._num = self._mean + (move if is_up else -move), found.num
        self._above.reset()
        self._below.reset()
        return self._side.moved_to(self._mean)

    def state(self) -> State:
        """Mean and its weight, both sums, and the side of the edge."""
        return {
            "mean": self._mean,
            "num": self._num,
            "above": self._above.state(),
            "below": self._below.state(),
            "is_shifted": self._side.is_shifted,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "mean": float(mean),
                "num": int(num),
                "above": dict(above),
                "below": dict(below),
                "is_shifted": bool(is_shifted),
            }:
                self._above.load_state(above)
                self._below.load_state(below)
                self._mean, self._num, self._side.is_shifted = mean, num, is_shifted
            case _:
                raise ValueError(f"not the state of a Page-Hinkley test: it has the keys {sorted(state)}")
