"""One open OpenCV capture, safe to close from another thread while a read is under way."""

# H height, W width, C channels (RGB)

import threading
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from streams.images import resize_image


class Handle(Protocol):
    """What is used of cv2.VideoCapture."""

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, np.ndarray | None]: ...

    def get(self, property_: int, /) -> float: ...

    def release(self) -> None: ...


class Capture:
    """Reads pictures as uint8 RGB, at `size_HW` where given, from what `open_handle` opens.

    OpenCV may crash when a capture is released during a read, so whoever comes second releases: `close` when no read is
    under way, else the reader itself.
    """

    def __init__(self, open_handle: Callable[[], Handle], *, size_HW: tuple[int, int] | None = None) -> None:
        self._open_handle = open_handle
        self._handle = open_handle()
        self._size_HW = size_HW
        self._in_use = threading.Lock()
        self._closing = threading.Event()

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    @property
    def fps(self) -> float:
        """What OpenCV says; 0 or no finite number where it does not know."""
        return self._handle.get(cv2.CAP_PROP_FPS)

    def read(self) -> np.ndarray | None:
        """The next picture as image_HWC; None where none came this time, or the capture is closed."""
        return self.retrieve() if self.grab() else None

    def grab(self) -> bool:
        """Take the next picture as it is, which is quick once it is there; False where none came, as for `read`."""
        with self._in_use:
            is_grabbed = not self.is_closed and self._handle.grab()
        self._release_if_closed()  # `close` may have come, and left, during the grab
        return is_grabbed

    def retrieve(self) -> np.ndarray | None:
        """What was grabbed, decoded, as image_HWC; None where it is damaged, or the capture is closed."""
        with self._in_use:
            is_decoded, picture = (False, None) if self.is_closed else self._handle.retrieve()
        self._release_if_closed()
        if not is_decoded or picture is None:
            return None
        image_HWC = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        return image_HWC if self._size_HW is None else resize_image(image_HWC, self._size_HW)

    def reopen(self) -> None:
        """Let go of the handle and open another, in this order: drivers give a device to one at a time."""
        with self._in_use:
            if not self.is_closed:
                self._handle.release()
                self._handle = self._open_handle()
        self._release_if_closed()

    def wait(self, seconds: float) -> None:
        """Pause, cut short by `close`."""
        self._closing.wait(seconds)

    def close(self) -> None:
        self._closing.set()
        self._release_if_closed()

    def _release_if_closed(self) -> None:
        if self.is_closed and self._in_use.acquire(blocking=False):
            try:
                self._handle.release()  # harmless the second time
            finally:
                self._in_use.release()
