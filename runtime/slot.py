"""LatestSlot: the hand-over between two threads where only the newest item matters.

Capacity one. Putting into a full slot displaces the unread item and returns it, so that the producer can count it as
dropped. It does not know what it carries.
"""

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestSlot(Generic[Item]):
    """One producer, one consumer; every item put is either taken or displaced, never both, never neither."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._is_closed = False

    def put(self, item: Item) -> Item | None:
        """Store `item`; returns the item that had to give way: the displaced one, or `item` itself once closed."""
        with self._changed:
            if self._is_closed:
                return item
            displaced, self._item = self._item, item
            self._changed.notify_all()
            return displaced

    def put_when_empty(self, item: Item) -> Item | None:
        """Wait until the slot is empty, then store (lossless hand-over); returns `item` if the slot closed first."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._is_closed)
            if self._is_closed:
                return item
            self._item = item
            self._changed.notify_all()
            return None

    def take(self, *, timeout_s: float | None = None) -> Item | None:
        """The newest item, waiting for one; None when closed and empty, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout=timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No more items come; the one inside can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def depth(self) -> int:
        return int(self._item is not None)
