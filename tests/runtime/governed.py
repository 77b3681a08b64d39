"""Facts for a governor, one prediction after the other."""

import numpy as np

from runtime.effort import LEVELS
from runtime.events import GovernorChanged, Prediction
from runtime.governor import Governor
from streams.frame import Frame
from tests.fakes import make_step

IMAGE = np.zeros((8, 8, 3), np.uint8)
PERIOD_S = 0.1
LAST = len(LEVELS) - 1


def prediction(at_s: float, *, latency_s: float = 0.01, wait_s: float = 0.0) -> Prediction:
    """Finished at `at_s`, `latency_s` after capture; inference started `wait_s` after capture."""
    frame = Frame(index=0, captured_at_s=at_s - latency_s, image_HWC=IMAGE)
    return Prediction(frame, 0, IMAGE[..., 0], 0.5, 0.5, frame.captured_at_s + wait_s, at_s)


class Drive:
    """A governor fed with ten frames per second."""

    def __init__(self, governor: Governor | None = None) -> None:
        self.governor = governor or Governor(period_s=PERIOD_S)
        self.changes: list[GovernorChanged] = []
        self.ticks = 0

    @property
    def now_s(self) -> float:
        return self.ticks / 10

    def run(self, seconds: float, *, late_every: int = 0, wait_s: float = 0.0) -> list[int]:
        """Levels entered during so many seconds in which each `late_every`-th frame is late (0: none)."""
        known = len(self.changes)
        for _ in range(round(seconds * 10)):
            is_late = late_every > 0 and self.ticks % late_every == 0
            self.note(
                self.governor.update(
                    prediction(self.now_s, latency_s=0.25 if is_late else 0.05, wait_s=wait_s if is_late else 0.0)
                )
            )
            self.ticks += 1
        return [change.level for change in self.changes[known:]]

    def shed(self) -> None:
        """Late frames until a level is given up."""
        level = self.governor.level
        while self.governor.level == level:
            self.run(0.1, late_every=1)

    def step(self, outcome: str = "applied") -> None:
        self.note(self.governor.note_step(make_step(outcome=outcome, at_s=self.now_s)))

    def note(self, change: GovernorChanged | None) -> None:
        if change is not None:
            self.changes.append(change)
