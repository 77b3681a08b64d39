"""What learning costs right now: seconds spent on steps for every second of stream, lately."""

from collections import deque

WINDOW_S = 10.0


class RecentCost:
    """One owner. Times are readings of the events' clock and may come slightly out of order."""

    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._steps: deque[tuple[float, float]] = deque()
        self._first_s: float | None = None

    def add(self, at_s: float, duration_s: float) -> None:
        """A step ended."""
        self._first_s = at_s - duration_s if self._first_s is None else self._first_s
        self._steps.append((at_s, duration_s))

    def share(self, now_s: float) -> float:
        """Of one learner's time in the last window, 0 while nothing is known."""
        while self._steps and self._steps[0][0] <= now_s - self._window_s:
            self._steps.popleft()
        span_s = 0.0 if self._first_s is None else min(self._window_s, now_s - self._first_s)
        return sum(duration_s for _, duration_s in self._steps) / span_s if span_s > 0 else 0.0
