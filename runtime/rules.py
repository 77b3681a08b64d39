"""How a live run goes: who computes when, with how many threads, and how old a frame may be.

Values only; `runtime/build.py` makes them from the configuration, `runtime/live.py` follows them.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from runtime.lanes import HOST, Lane

Adapt = Literal["thread", "gaps", "inline", "off"]

MAX_AGE_PERIODS = 2
MAX_AGE_FLOOR_S = 0.15


class Slack(Protocol):
    """Holds learning back, at each `wait`, while inference is `busy`; `close` lets it go on for good. `working_s` is a
    clock that stands still while learning is held.
    """

    def busy(self) -> AbstractContextManager[None]: ...

    def wait(self) -> None: ...

    def working_s(self) -> float: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """Intra-op threads of predicting and of learning; OpenMP counts them per calling thread."""

    inference: int
    learning: int

    @classmethod
    def of_cores(cls, num_cores: int) -> "ThreadBudget":
        """For two that compute at the same time; inference gets the odd core."""
        inference = max(1, (num_cores + 1) // 2)
        return cls(inference=inference, learning=max(1, num_cores - inference))


@dataclass(frozen=True, slots=True)
class LiveRules:
    """`adapt`: thread (learning in a thread of its own), gaps (the same, held back by `slack`), inline (predict, learn,
    next frame, in one thread), off (as thread; the cycle was built without a learner).

    `is_lossless` waits for inference instead of dropping. No frame older than `max_age_s` is predicted, and no answer
    given that is, where inference is fast enough for that (`runtime/intake.py`); inf lets every age pass. A learner
    thread computes in `lane`.
    """

    threads: ThreadBudget
    adapt: Adapt
    is_lossless: bool
    max_age_s: float
    slack: Slack | None = None
    lane: Lane = HOST


def max_age_s(fps: float) -> float:
    """Two frame periods, at least 150 ms."""
    return max(MAX_AGE_PERIODS / fps, MAX_AGE_FLOOR_S)
