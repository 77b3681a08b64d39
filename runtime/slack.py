"""The slack gate: learning computes only while inference waits for a frame.

    with gate.busy(): prediction = predictor.predict(frame)      # inference thread, around each prediction
    gate.wait()                                                  # learner thread, at every segment boundary
    began_s = gate.working_s(); ...; gate.working_s() - began_s  # what computing took, without the waits

Predicting never waits for anything in here: it sets a flag, and takes a lock only afterwards and only to wake a learner
that sleeps. Learning cannot starve: after `patience_s` of waiting it may compute for `grace_s`. On a CPU a boundary
with inference idle costs a few hundred nanoseconds. On an accelerator work is queued, so a boundary also waits for the
segment before it (`finish_segment`, see `OneAhead`); then at most one segment is ever ahead of a frame.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.lanes import Done, Recorded

PATIENCE_S = 0.25
GRACE_S = 0.05  # with the patience above learning gets at least a sixth of the time


def nothing_to_finish() -> None:
    """On a host a segment is over when its last call returns."""


class OneAhead:
    """`finish_segment` of a device that is behind its thread: at most one segment of `stride` boundaries is queued.

    `record` marks a place behind all that the calling thread has queued, as `Lane.record` does. To wait releases the
    interpreter, and costs less than a frame's wait behind a whole backward pass.
    """

    def __init__(self, record: Callable[[], Recorded], *, stride: int = 8) -> None:
        if stride < 1:
            raise ValueError(f"slack: a segment has at least 1 boundary, got a stride of {stride}")
        self._record = record
        self._stride = stride
        self._num_boundaries = 0
        self._last: Recorded = Done()

    def __call__(self) -> None:
        self._num_boundaries += 1
        if self._num_boundaries >= self._stride:
            self._num_boundaries = 0
            self._last.wait()
            self._last = self._record()


class SlackGate:
    """One inference thread enters `busy`; any number of learning threads `wait`. `close` releases them for good."""

    def __init__(
        self,
        *,
        patience_s: float = PATIENCE_S,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
        finish_segment: Callable[[], None] = nothing_to_finish,
    ) -> None:
        if patience_s < 0 or grace_s < 0:
            raise ValueError(f"slack: patience and grace must be 0 s or more, got {patience_s} and {grace_s}")
        self._patience_s = patience_s
        self._grace_s = grace_s
        self._clock = clock
        self._finish_segment = finish_segment
        self._is_busy = False
        self._busy_thread = 0
        self._num_waiting = 0
        self._held_s = 0.0
        self._held_since_s: float | None = None
        self._free_until_s = float("-inf")
        self._is_closed = False
        self._idle = threading.Condition()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Learning holds still within, from its next boundary on."""
        self._busy_thread = threading.get_ident()
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False
            # A waiter counts itself before it looks at the flag, so either it sees inference idle or is seen here.
            if self._num_waiting:
                with self._idle:
                    self._idle.notify_all()

    def wait(self) -> None:
        """A segment boundary: returns at once while inference idles, else when it idles or patience is at its end."""
        self._finish_segment()
        if not self._is_busy or self._is_closed or threading.get_ident() == self._busy_thread:
            return
        came_s = self._clock()
        if came_s < self._free_until_s:
            return
        with self._idle:
            self._num_waiting += 1
            self._held_since_s = came_s
            try:
                is_idle = self._idle.wait_for(lambda: self._is_closed or not self._is_busy, timeout=self._patience())
            finally:
                self._num_waiting -= 1
                left_s = self._clock()
                self._held_s += left_s - came_s
                self._held_since_s = None
        if not is_idle:
            self._free_until_s = left_s + self._grace_s

    def working_s(self) -> float:
        """A clock of the one thread that learns, for any: it stands still while that is held at a boundary."""
        held_since_s = self._held_since_s
        return (self._clock() if held_since_s is None else held_since_s) - self._held_s

    @property
    def num_waiting(self) -> int:
        """Threads held at a boundary just now."""
        return self._num_waiting

    def close(self) -> None:
        """From now on nobody waits."""
        with self._idle:
            self._is_closed = True
            self._idle.notify_all()

    def _patience(self) -> float | None:
        """Conditions take None for no limit; inf would overflow."""
        return self._patience_s if self._patience_s < threading.TIMEOUT_MAX else None
