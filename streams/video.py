"""A video file as a stream: frame i of the file is frame i of the stream, as fast as the consumer takes them."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2

from streams.capture import Capture
from streams.frame import Frame
from streams.protocol import StreamNotOpened

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"})

_USUAL_FPS = 25.0
_HIGHEST_FPS = 240.0  # beyond that the header states a time base, not a rate
_MAX_LOST_IN_A_ROW = 100  # a read costs next to nothing at the end of a file; damage within is a few frames long
_HEADER_SLACK = 2  # some containers round the number of frames


class Video:
    """Plays an open capture from `start`; frames that cannot be decoded are counted and leave gaps in the indices."""

    def __init__(
        self,
        capture: Capture,
        *,
        name: str,
        fps: float,
        num_frames: int | None,
        clock: Callable[[], float],
        start: int = 0,
    ) -> None:
        self._capture = capture
        self._name = name
        self._fps = fps
        self._length = num_frames
        self._clock = clock
        self._cursor = self._start = start
        self._faults: Counter[str] = Counter()

    @property
    def name(self) -> str:
        return self._name

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def is_live(self) -> bool:
        return False

    @property
    def num_frames(self) -> int | None:
        """As the file's header has it."""
        return None if self._length is None else max(self._length - self._start, 0)

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def faults(self) -> Mapping[str, int]:
        return dict(self._faults)

    def __iter__(self) -> Iterator[Frame]:
        position = num_lost = 0
        while num_lost <= _MAX_LOST_IN_A_ROW and not self._capture.is_closed:
            image_HWC = self._capture.read()  # frames before `start` too: seeking is not exact in every container
            position += 1
            if image_HWC is None:
                num_lost += 1
                continue
            index = position - 1
            if index >= self._start:
                if num_lost:
                    self._faults["decode_error"] += num_lost
                self._cursor = position
                yield Frame(index, self._clock(), image_HWC)
            num_lost = 0
        if not self._capture.is_closed:
            num_short = (self._length or 0) - (position - num_lost)
            if num_short > _HEADER_SLACK:
                self._faults["truncated"] += num_short
        self.close()

    def close(self) -> None:
        self._capture.close()


def open_video(
    path: Path, *, size_HW: tuple[int, int] | None, fps: float | None, clock: Callable[[], float], start: int = 0
) -> Video:
    """Opens the file, StreamNotOpened where it holds no picture. `fps` None: the file's own rate."""
    file = str(path.absolute())  # FFmpeg takes what stands before a colon for a protocol, unless a slash comes first
    probe = cv2.VideoCapture(file, cv2.CAP_FFMPEG)  # other back ends complain on the terminal about damaged files
    is_playable = probe.isOpened() and any(probe.read()[0] for _ in range(_MAX_LOST_IN_A_ROW))
    num_frames, own_fps = probe.get(cv2.CAP_PROP_FRAME_COUNT), probe.get(cv2.CAP_PROP_FPS)
    probe.release()
    if not is_playable:
        raise StreamNotOpened(
            f"--stream {path}: no picture can be read from this video (expected a file that FFmpeg decodes); "
            "check that it is complete, or convert it to mp4"
        )
    return Video(
        Capture(lambda: cv2.VideoCapture(file, cv2.CAP_FFMPEG), size_HW=size_HW),
        name=path.stem,
        fps=fps or (own_fps if math.isfinite(own_fps) and 0 < own_fps <= _HIGHEST_FPS else _USUAL_FPS),
        num_frames=int(num_frames) if num_frames > 0 else None,
        clock=clock,
        start=start,
    )
