"""Upkeep: what a long run does for itself once a minute, in the disk writer's thread, so that nobody waits for it.

    upkeep = Upkeep(record.writer, release_memory)
    upkeep.observe(event)                            # every event; the events' rate is clock enough

Every thread's allocations come out of an arena of its own, which never shrinks by itself: it keeps what was held at
once at most, and the little more that scattered pieces cost. That creeps and looks like a leak: without this, a run
whose memory in use stayed the same grew by 20 MB/h over 21 minutes.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

from runtime.disk import DiskWriter
from runtime.events import RunFinished
from runtime.observer import Event

EVERY_S = 60.0  # what is given back costs some milliseconds of page faults when it is needed again


class Upkeep:
    """Observer; calls `work` behind whatever the disk is busy with, never twice at a time."""

    def __init__(
        self, writer: DiskWriter, work: Callable[[], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._writer = writer
        self._work = work
        self._clock = clock
        self._done_at_s = clock()
        self._under_way: Future[None] | None = None
        self._is_over = False

    def observe(self, event: Event) -> None:
        """Take notice of the time, and of the run's end: the writer is closed then."""
        self._is_over = self._is_over or isinstance(event, RunFinished)
        is_due = not self._is_over and self._clock() - self._done_at_s >= EVERY_S
        if is_due and (self._under_way is None or self._under_way.done()):
            self._done_at_s = self._clock()
            self._under_way = self._writer.submit(self._work)
