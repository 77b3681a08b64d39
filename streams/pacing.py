"""When frames are released: at the stream's own rate, as fast as they are taken, or outside of time altogether.

    for frame in Paced(stream, pace="live"): ...

Drops nothing: a consumer that only wants the newest frame drops the others itself. Clock and wait are injected.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from streams.frame import Frame
from streams.protocol import Stream, UnknownStream
from streams.wrapped import Wrapped

Pace = Literal["live", "max", "lockstep"]


class Schedule:
    """Due times of frames at a fixed rate, in seconds of the caller's clock.

    Small delays are made up for, so the rate holds in the long run. After a delay of more than a period the schedule
    starts again from now: a camera does not send in a burst what it could not send in time.
    """

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps
        self._origin_s: float | None = None

    def due_s(self, index: int, now_s: float) -> float:
        """When the frame may be released; gaps in the indices keep their time."""
        offset_s = index * self._period_s
        if self._origin_s is None or now_s - (self._origin_s + offset_s) > self._period_s:
            self._origin_s = now_s - offset_s
        return self._origin_s + offset_s


class Paced(Wrapped):
    """A stream released by one of three paces; a stream itself. `captured_at_s` becomes the time of release.

    live: at `fps`, never early. max: at once. lockstep: at once, and the time of frame i is i / fps: no clock enters.
    Cameras keep their own pace and times in live and max, and cannot be played in lockstep (UnknownStream).
    `wait` pauses for some seconds and may return early; by default `close` cuts it short.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        pace: Pace,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        if stream.is_live and pace == "lockstep":
            raise UnknownStream(
                f"--pace lockstep: {stream.name} is a camera and cannot wait (expected a recording or a preset); "
                "use --pace live"
            )
        super().__init__(stream)
        self._pace = pace
        self._clock = clock
        self._closed = threading.Event()
        self._wait = self._closed.wait if wait is None else wait

    def __iter__(self) -> Iterator[Frame]:
        schedule = Schedule(self.fps)
        for frame in self._stream:
            if self._pace == "live" and not self.is_live:
                self._wait_until(schedule.due_s(frame.index, self._clock()))
            if self._closed.is_set():
                return
            yield frame if self.is_live else replace(frame, captured_at_s=self._time_of(frame))

    def close(self) -> None:
        self._closed.set()
        super().close()

    def _wait_until(self, due_s: float) -> None:
        while not self._closed.is_set() and (left_s := due_s - self._clock()) > 0:
            self._wait(left_s)

    def _time_of(self, frame: Frame) -> float:
        return frame.index / self.fps if self._pace == "lockstep" else self._clock()
