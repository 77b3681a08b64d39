"""A camera as a live stream: frames stamped when grabbed; one that falls silent is opened again, for a while.

Nothing is invented: where the camera gives no picture there is no frame. A camera has no end: it is closed, or lost.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import cv2

from streams.capture import Capture
from streams.frame import Frame
from streams.protocol import StreamLost, StreamNotOpened

FIRST_RETRY_S = 0.05
LONGEST_RETRY_S = 1.0
MAX_QUEUED = 10  # pictures that wait in the driver at most; OpenCV asks Video4Linux for four buffers
MAX_RETRIES = 10  # in a row; 6.5 seconds in all, longer than a USB camera takes to come back from a reset

_USUAL_FPS = 30.0


class Camera:
    """Frames of camera `number` until it is closed; StreamLost where MAX_RETRIES in a row bring no picture.

    `wait` pauses for some seconds between retries; by default `close` cuts the pause short.
    """

    def __init__(
        self,
        capture: Capture,
        *,
        number: int,
        fps: float,
        clock: Callable[[], float],
        wait: Callable[[float], object] | None = None,
        start: int = 0,
    ) -> None:
        self._capture = capture
        self._number = number
        self._fps = fps
        self._clock = clock
        self._wait = capture.wait if wait is None else wait
        self._cursor = start
        self._faults: Counter[str] = Counter()

    @property
    def name(self) -> str:
        return f"camera_{self._number}"

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def is_live(self) -> bool:
        return True

    @property
    def num_frames(self) -> int | None:
        return None

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def faults(self) -> Mapping[str, int]:
        return dict(self._faults)

    def __iter__(self) -> Iterator[Frame]:
        self._discard_queued()
        num_failed = 0
        while not self._capture.is_closed:
            is_grabbed = self._capture.grab()
            grabbed_at_s = self._clock()
            image_HWC = self._capture.retrieve() if is_grabbed else None
            if self._capture.is_closed:
                break
            if image_HWC is None:
                self._faults["read_error"] += 1
                self._wait_or_give_up(num_failed)
                num_failed += 1
                if not is_grabbed:  # the handle of a device that was unplugged or reset stays dead
                    self._capture.reopen()
                continue
            num_failed = 0
            index = self._cursor
            self._cursor = index + 1
            yield Frame(index, grabbed_at_s, image_HWC)
        self.close()

    def close(self) -> None:
        self._capture.close()

    def _discard_queued(self) -> None:
        """Pictures from before the iteration, the rest of a run being built meanwhile: they come without a wait."""
        for _ in range(MAX_QUEUED):
            asked_at_s = self._clock()
            if not self._capture.grab() or self._clock() - asked_at_s > 0.5 / self._fps:
                break

    def _wait_or_give_up(self, num_failed: int) -> None:
        if num_failed == MAX_RETRIES:
            self.close()
            raise StreamLost(
                f"--stream camera:{self._number}: it gives no pictures any more (asked {MAX_RETRIES} times again); "
                "connect it, and go on with --resume and the run folder"
            )
        self._wait(min(FIRST_RETRY_S * 2**num_failed, LONGEST_RETRY_S))


def open_camera(
    number: int, *, size_HW: tuple[int, int] | None, fps: float | None, clock: Callable[[], float], start: int = 0
) -> Camera:
    """Opens camera `number` and takes one picture to be sure; StreamNotOpened otherwise. `fps` is asked of it."""
    capture = Capture(partial(_open_device, number, fps), size_HW=size_HW)
    if capture.read() is None:
        capture.close()
        raise StreamNotOpened(
            f"--stream camera:{number}: no camera gives pictures there; connect one, close other programs that use it, "
            "or try another number"
        )
    own_fps = capture.fps
    return Camera(
        capture,
        number=number,
        fps=own_fps if math.isfinite(own_fps) and own_fps > 0 else fps or _USUAL_FPS,
        clock=clock,
        start=start,
    )


def _open_device(number: int, fps: float | None) -> cv2.VideoCapture:
    device = cv2.VideoCapture(number)
    if fps is not None:
        device.set(cv2.CAP_PROP_FPS, fps)
    return device
