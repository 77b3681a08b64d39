"""What learning costs: seconds on steps for every second of stream, lately; and how long a run stood on which level."""

from collections import Counter, defaultdict, deque
from typing import Any, cast  # Any: what a state holds

from runtime.effort import FULL, LEVELS
from runtime.state import State

WINDOW_S = 10.0


class RecentCost:
    """One owner. Times are readings of the events' clock and may come slightly out of order."""

    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._steps: deque[tuple[float, float]] = deque()
        self._first_s: float | None = None

    def add(self, at_s: float, duration_s: float) -> None:
        """A step ended. Those behind the window go, whether anybody asks for the share or not."""
        self._first_s = at_s - duration_s if self._first_s is None else self._first_s
        self._steps.append((at_s, duration_s))
        self._forget(at_s)

    def share(self, now_s: float) -> float:
        """Of one learner's time in the last window, 0 while nothing is known."""
        self._forget(now_s)
        span_s = 0.0 if self._first_s is None else min(self._window_s, now_s - self._first_s)
        return sum(duration_s for _, duration_s in self._steps) / span_s if span_s > 0 else 0.0

    def _forget(self, now_s: float) -> None:
        while self._steps and self._steps[0][0] <= now_s - self._window_s:
            self._steps.popleft()


class LevelAccounts:
    """Frames answered and seconds passed on each level of effort, by its name; levels never stood on are left out."""

    def __init__(self) -> None:
        self._name = FULL.name
        self._frames: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._last_s: float | None = None

    def answered(self, at_s: float) -> None:
        """A frame was; the time since the one before counts for the level stood on now."""
        self._frames[self._name] += 1
        if self._last_s is not None:
            self._seconds[self._name] += max(0.0, at_s - self._last_s)
        self._last_s = at_s

    def moved(self, name: str) -> None:
        """To the level of that name."""
        self._name = name

    def by_level(self) -> dict[str, dict[str, float]]:
        """{"frames", "seconds"} by name of level, from full to off."""
        names = [effort.name for effort in LEVELS if self._frames[effort.name]]
        return {name: {"frames": self._frames[name], "seconds": self._seconds[name]} for name in names}

    def state(self) -> State:
        """Everything but the time of the last frame, which is a reading of a clock."""
        return {"level": self._name, "frames": {**self._frames}, "seconds": {**self._seconds}}

    def load_state(self, state: State) -> None:
        """Go on from there."""
        held = cast(dict[str, Any], state)
        self._name, self._last_s = held["level"], None
        self._frames, self._seconds = Counter(held["frames"]), defaultdict(float, held["seconds"])
