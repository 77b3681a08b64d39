"""The governor: sheds adaptation, never prediction, when facts say that there is no room for it.

Facts are missed deadlines (capture to result above one frame period), age at start (a frame waited longer than a period
for its inference), memory nearly used up, and steps that ran out of memory. Frames are judged in windows of two
seconds. A window with too many misses, or without room, costs one level of effort (`effort.py`); a level comes back
after twenty seconds of calm windows, twice as long each time it had to be given up again soon. Between a miss and calm
lies a band that moves nothing. A step that ran out of memory costs a level at once, the third in ten minutes ends
learning for good.

    changed = governor.update(prediction)             # every prediction, in order
    if governor.admits_step(): ...                    # every frame that would be learned from
    changed = governor.note_step(step)

It has no clock. Time is what passes between events, and at most two seconds of it between two of them: a silent stream
is neither late nor calm.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast  # Any: what a state holds

from runtime.cost import RecentCost
from runtime.effort import LEVELS, Effort
from runtime.events import AdaptationStep, GovernorChanged, Prediction
from runtime.state import State

UP_WINDOW_S = 2.0
MIN_FRAMES = 3  # in a window; slow streams get longer windows
MISS_SHARE = 0.1  # of a window's frames: too many
CALM_SHARE = 0.05
DOWN_WAIT_S = 20.0
MAX_DOWN_WAIT_S = 320.0
MEMORY_EVERY_S = 1.0
MEMORY_HIGH, MEMORY_CALM = 0.9, 0.8  # share held of what could be held
OOM_LIMIT = 3
OOM_WINDOW_S = 600.0
MAX_GAP_S = UP_WINDOW_S
REASONS = ("late", "age", "memory", "oom", "calm")


def no_memory_fact() -> float:
    """Where memory is nobody's business."""
    return 0.0


@dataclass(slots=True)
class _Window:
    """What one window saw. Memory readings are its least and greatest."""

    since_s: float = 0.0
    num_frames: int = 0
    num_late: int = 0
    num_aged: int = 0
    least_memory: float = 1.0
    most_memory: float = 0.0

    def miss(self) -> tuple[str, str] | None:
        """Reason and detail where something was missed."""
        if self.most_memory >= self.least_memory >= MEMORY_HIGH:
            return "memory", f"{self.most_memory:.0%} of the memory there is in use"
        if self.num_aged > MISS_SHARE * self.num_frames:
            return "age", f"{self.num_aged} of {self.num_frames} frames waited longer than a period"
        if self.num_late > MISS_SHARE * self.num_frames:
            return "late", f"{self.num_late} of {self.num_frames} frames late"
        return None

    @property
    def is_calm(self) -> bool:
        return self.num_late <= CALM_SHARE * self.num_frames and self.most_memory < MEMORY_CALM


@dataclass(slots=True)
class _Steps:
    """Learning steps taken on one level."""

    number: int = 0
    total_s: float = 0.0

    @property
    def mean_ms(self) -> float:
        return 1e3 * self.total_s / self.number if self.number else float("nan")


@dataclass(slots=True)
class _Marks:
    """Moments on the governor's own time, which starts at 0 and stands still while nothing happens."""

    now_s: float = 0.0
    calm_since_s: float = 0.0
    resumed_at_s: float | None = None
    memory_read_at_s: float = -MEMORY_EVERY_S
    ooms_at_s: list[float] = field(default_factory=list)


class Governor:
    """One owner. `period_s` is the time a frame may take, inf where nothing is late (lossless and lockstep runs);
    `memory_share` is read at most once a second and must be cheap.
    """

    def __init__(self, *, period_s: float, memory_share: Callable[[], float] = no_memory_fact) -> None:
        if period_s <= 0:
            raise ValueError(f"governor.period_s must be above 0, got {period_s}; use inf for no deadline")
        self._period_s = period_s
        self._memory_share = memory_share
        self._level = 0
        self._is_off_for_good = False
        self._wait_s = DOWN_WAIT_S
        self._num_eligible = 0
        self._frame_index = -1
        self._last_at_s: float | None = None
        self._marks = _Marks()
        self._window = _Window()
        self._steps = [_Steps() for _ in LEVELS]
        self._cost = RecentCost()

    @property
    def level(self) -> int:
        return self._level

    @property
    def effort(self) -> Effort:
        return LEVELS[self._level]

    def admits_step(self) -> bool:
        """Called once for every frame that would be learned from: whether there is time for this one."""
        self._num_eligible += 1
        period = self.effort.frames_per_step
        return period > 0 and self._num_eligible % period == 0

    def update(self, prediction: Prediction) -> GovernorChanged | None:
        """Take one prediction's facts into account; the new level, if it changed."""
        now_s = self._advance(prediction.finished_at_s)
        self._frame_index = prediction.frame.index
        window = self._window
        window.num_frames += 1
        window.num_late += prediction.latency_s > self._period_s
        window.num_aged += prediction.started_at_s - prediction.frame.captured_at_s > self._period_s
        if now_s - self._marks.memory_read_at_s >= MEMORY_EVERY_S:
            self._marks.memory_read_at_s = now_s
            share = self._memory_share()
            window.least_memory = min(window.least_memory, share)
            window.most_memory = max(window.most_memory, share)
        if now_s - window.since_s < UP_WINDOW_S or window.num_frames < MIN_FRAMES:
            return None
        self._window = _Window(now_s)
        return self._judge(window)

    def note_step(self, step: AdaptationStep) -> GovernorChanged | None:
        """Take a step's cost into account, and running out of memory; the new level, if it changed."""
        marks, now_s = self._marks, self._advance(step.at_s)
        self._cost.add(step.at_s, step.duration_s)
        if step.outcome != "relaxed":
            self._steps[self._level].number += 1
            self._steps[self._level].total_s += step.duration_s
        if step.outcome != "oom":
            return None
        marks.ooms_at_s = [at_s for at_s in marks.ooms_at_s if now_s - at_s < OOM_WINDOW_S] + [now_s]
        self._window = _Window(now_s)
        if len(marks.ooms_at_s) < OOM_LIMIT:
            return self._move(self._level + 1, "oom", step.detail)
        self._is_off_for_good = True
        detail = f"out of memory {OOM_LIMIT} times in {OOM_WINDOW_S / 60:.0f} minutes; learning stays off"
        return self._move(len(LEVELS) - 1, "oom", detail)

    def state(self) -> State:
        """Moments as seconds ago, so that another process with another clock goes on as if nothing had happened."""
        marks, window = self._marks, self._window
        resumed_at_s = marks.resumed_at_s
        return {
            "level": self._level,
            "is_off_for_good": self._is_off_for_good,
            "wait_s": self._wait_s,
            "num_eligible": self._num_eligible,
            "calm_for_s": marks.now_s - marks.calm_since_s,
            "resumed_s_ago": None if resumed_at_s is None else marks.now_s - resumed_at_s,
            "memory_read_s_ago": marks.now_s - marks.memory_read_at_s,
            "ooms_s_ago": [marks.now_s - at_s for at_s in marks.ooms_at_s],
            "window_age_s": marks.now_s - window.since_s,
            "window": [window.num_frames, window.num_late, window.num_aged, window.least_memory, window.most_memory],
            "steps": [[steps.number, steps.total_s] for steps in self._steps],
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`; what learning cost lately starts anew."""
        held = cast(dict[str, Any], state)
        resumed_s_ago = held["resumed_s_ago"]
        self._level = held["level"]
        self._is_off_for_good = held["is_off_for_good"]
        self._wait_s = held["wait_s"]
        self._num_eligible = held["num_eligible"]
        self._last_at_s = None
        self._marks = _Marks(
            calm_since_s=-held["calm_for_s"],
            resumed_at_s=None if resumed_s_ago is None else -resumed_s_ago,
            memory_read_at_s=-held["memory_read_s_ago"],
            ooms_at_s=[-seconds for seconds in held["ooms_s_ago"]],
        )
        self._window = _Window(-held["window_age_s"], *held["window"])
        self._steps = [_Steps(*steps) for steps in held["steps"]]

    def _advance(self, at_s: float) -> float:
        """Own time after an event; events a little out of order stand still."""
        last_s = at_s if self._last_at_s is None else self._last_at_s
        self._marks.now_s += min(MAX_GAP_S, max(0.0, at_s - last_s))
        self._last_at_s = max(last_s, at_s)
        return self._marks.now_s

    def _judge(self, window: _Window) -> GovernorChanged | None:
        """A level up, a level down, or nothing, after a full window."""
        marks = self._marks
        missed = window.miss()
        if missed is not None:
            return self._move(self._level + 1, *missed)
        if not window.is_calm:
            marks.calm_since_s = marks.now_s
        elif marks.now_s - marks.calm_since_s >= self._wait_s:
            if self._level == 0:
                self._wait_s = DOWN_WAIT_S
            elif not self._is_off_for_good:
                return self._move(self._level - 1, "calm", f"{self._wait_s:.0f} s without misses")
        return None

    def _move(self, level: int, reason: str, detail: str) -> GovernorChanged | None:
        """Stand on `level`, or on the last one; None where that changes nothing. Calm starts to count anew."""
        marks = self._marks
        level = min(level, len(LEVELS) - 1)
        at_s = 0.0 if self._last_at_s is None else self._last_at_s
        marks.calm_since_s = marks.now_s
        if level == self._level:
            return None
        if level < self._level:
            marks.resumed_at_s = marks.now_s
        elif marks.resumed_at_s is not None and marks.now_s - marks.resumed_at_s < self._wait_s:
            self._wait_s = min(MAX_DOWN_WAIT_S, 2 * self._wait_s)
            marks.resumed_at_s = None
        self._level = level
        return GovernorChanged(
            frame_index=self._frame_index,
            level=level,
            name=self.effort.name,
            reason=reason,
            detail=detail,
            step_ms=self._steps[level].mean_ms,
            cost_share=self._cost.share(at_s),
            at_s=at_s,
        )
