"""The disk writer: one thread that writes, in order, what others hand it, so that nobody else waits for a disk.

    writer = DiskWriter()
    writing = writer.submit(job)          # returns at once; `writing` tells whether and how it ended
    writer.close(patience_s=10.0)         # False where the disk did not answer in time

The thread is a daemon: a disk that hangs for ever cannot keep the process from ending.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


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
