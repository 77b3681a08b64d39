"""Inbox: the hand-over of predictions to the learner, bounded, oldest out."""

import threading
from collections import deque

from runtime.events import Prediction

INBOX_CAPACITY = 16  # predictions the learner may lag behind; older ones go unwatched


class Inbox:
    """Predictions waiting for the learner, taken all at once."""

    def __init__(self, *, capacity: int = INBOX_CAPACITY) -> None:
        self._changed = threading.Condition()
        self._items: deque[Prediction] = deque(maxlen=capacity)
        self._is_closed = False

    def put(self, prediction: Prediction) -> None:
        with self._changed:
            self._items.append(prediction)
            self._changed.notify()

    def take_all(self) -> list[Prediction]:
        """Everything waiting, at least one; empty only when closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._is_closed)
            items = list(self._items)
            self._items.clear()
            return items

    def depth(self) -> int:
        return len(self._items)

    def close(self) -> None:
        """No more come; what waits can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def clear(self) -> None:
        """Forget what waits: the run is to end soon."""
        with self._changed:
            self._items.clear()
