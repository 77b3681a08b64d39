"""EventQueue: events on their way to the caller's thread, in order, none lost, and not without bound.

Whoever dispatches may be held up: a terminal that is not read, a disk that hangs. Events carry pictures, so an
unbounded queue would fill the memory within minutes. Producers that can wait do so while too much is waiting: then
frames go undelivered to inference and are dropped and counted as ever. It does not know what it carries.
"""

import queue
import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class EventQueue(Generic[Item]):
    """Any number of producers, one consumer."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._drained = threading.Condition(lock)
        self._items: deque[Item] = deque()
        self._is_closed = False

    def put(self, item: Item) -> None:
        """Append at once; for what must not wait, or cannot come in numbers while others wait."""
        with self._filled:
            self._append(item)

    def put_below(self, item: Item, *, depth: int) -> None:
        """Append once fewer than `depth` items wait."""
        with self._drained:
            self._drained.wait_for(lambda: len(self._items) < depth or self._is_closed)
            self._append(item)

    def get(self, *, timeout_s: float) -> Item:
        """The oldest item; queue.Empty where none came in time."""
        with self._filled:
            if not self._filled.wait_for(lambda: bool(self._items), timeout=timeout_s):
                raise queue.Empty
            item = self._items.popleft()
            self._drained.notify_all()
            return item

    def depth(self) -> int:
        return len(self._items)

    def close(self) -> None:
        """Nobody listens any more: what is put from now on is gone, and nobody waits."""
        with self._drained:
            self._is_closed = True
            self._drained.notify_all()

    def _append(self, item: Item) -> None:
        if not self._is_closed:
            self._items.append(item)
            self._filled.notify()
