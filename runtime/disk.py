"""The disk writer: one thread that writes, in order, what others hand it, so that nobody else waits for a disk.

    writer = DiskWriter()
    writing = writer.submit(job)          # returns at once; `writing` tells whether and how it ended
    writer.close(patience_s=10.0)         # False where the disk did not answer in time

The thread is a daemon: a disk that hangs for ever cannot keep the process from ending.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")

PATIENCE_S = 10.0  # how long a disk that hangs may hold up the end of a run, all in all
HURRIED_S = 2.0  # where a signal or a failure ends it: with what workers may take, less than five seconds


class Patience:
    """How much longer a disk that hangs may hold up an end that waits for it in several places.

    What is done in between is free: an end that computes for ten seconds has not waited for any disk.
    """

    def __init__(self, is_hurried: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_hurried = is_hurried
        self._clock = clock
        self._waited_s = 0.0

    @contextmanager
    def waiting(self) -> Iterator[float]:
        """Seconds left; those that pass within count."""
        began_at_s = self._clock()
        try:
            yield max(0.0, (HURRIED_S if self._is_hurried() else PATIENCE_S) - self._waited_s)
        finally:
            self._waited_s += self._clock() - began_at_s


class DiskWriter:
    """Jobs run one after the other; a failure of one is in its future, and the next one runs."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="disk", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], Result]) -> "Future[Result]":
        """Run `job` after all handed in before; RuntimeError once closed."""
        if self._is_closed:
            raise RuntimeError("the disk writer is closed")
        writing: Future[Result] = Future()
        self._jobs.put((job, writing))
        return writing

    def close(self, *, patience_s: float) -> bool:
        """Write what is left for at most `patience_s` seconds; whether all of it was written. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, writing = item
            try:
                writing.set_result(job())
            except BaseException as error:  # told to whoever waits for it
                writing.set_exception(error)
