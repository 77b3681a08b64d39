"""The governor: sheds adaptation, never prediction, when frames miss their deadline.

Driven by facts only: a frame whose capture-to-result time exceeds one frame period is late. A level up (less
learning) after two seconds with too many late frames, a level down after twenty clean ones; the slow way back is the
hysteresis.
"""

from runtime.effort import LEVELS, Effort
from runtime.events import GovernorChanged, Prediction

UP_WINDOW_S = 2.0
DOWN_WINDOW_S = 20.0
LATE_SHARE = 0.1


class Governor:
    """One owner; `period_s` is the time a frame may take, inf where nothing is late (lossless and lockstep runs)."""

    def __init__(self, *, period_s: float) -> None:
        if period_s <= 0:
            raise ValueError(f"governor.period_s must be above 0, got {period_s}; use inf for no deadline")
        self._period_s = period_s
        self._level = 0
        self._since_s: float | None = None
        self._clean_since_s: float | None = None
        self._num_frames = 0
        self._num_late = 0
        self._num_eligible = 0

    @property
    def level(self) -> int:
        return self._level

    @property
    def effort(self) -> Effort:
        return LEVELS[self._level]

    def update(self, prediction: Prediction) -> GovernorChanged | None:
        """Take one prediction's lateness into account; the new level, if it changed."""
        now_s = prediction.finished_at_s
        is_late = prediction.latency_s > self._period_s
        if self._since_s is None:
            self._since_s = now_s
        if is_late or self._clean_since_s is None:
            self._clean_since_s = now_s
        self._num_frames += 1
        self._num_late += int(is_late)
        if now_s - self._since_s >= UP_WINDOW_S:
            share = self._num_late / self._num_frames
            self._since_s, self._num_frames, self._num_late = now_s, 0, 0
            if share > LATE_SHARE and self._level < len(LEVELS) - 1:
                return self._move(1, f"{share:.0%} of frames late", now_s)
        if self._level > 0 and now_s - self._clean_since_s >= DOWN_WINDOW_S:
            self._clean_since_s = now_s
            return self._move(-1, f"no frame late for {DOWN_WINDOW_S:.0f} s", now_s)
        return None

    def admits_step(self) -> bool:
        """Called once for every frame that would be learned from: whether there is time for this one."""
        self._num_eligible += 1
        period = self.effort.frames_per_step
        return period > 0 and self._num_eligible % period == 0

    def _move(self, step: int, reason: str, at_s: float) -> GovernorChanged:
        self._level += step
        return GovernorChanged(level=self._level, reason=reason, at_s=at_s)
