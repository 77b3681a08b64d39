"""Limited: the first frames of a stream, then the end."""

from collections.abc import Iterator, Mapping

from streams.frame import Frame
from streams.protocol import Stream


class Limited:
    """A stream that ends after `max_frames` frames, and closes what it wraps."""

    def __init__(self, stream: Stream, *, max_frames: int) -> None:
        if max_frames < 1:
            raise ValueError(f"stream.max_frames must be at least 1, got {max_frames}; leave it out to play to the end")
        self._stream = stream
        self._max_frames = max_frames

    @property
    def name(self) -> str:
        return self._stream.name

    @property
    def fps(self) -> float:
        return self._stream.fps

    @property
    def is_live(self) -> bool:
        return self._stream.is_live

    @property
    def num_frames(self) -> int | None:
        whole = self._stream.num_frames
        return self._max_frames if whole is None else min(whole, self._max_frames)

    @property
    def cursor(self) -> int:
        return self._stream.cursor

    @property
    def faults(self) -> Mapping[str, int]:
        return self._stream.faults

    def __iter__(self) -> Iterator[Frame]:
        num_left = self._max_frames
        for frame in self._stream:
            yield frame
            num_left -= 1
            if num_left == 0:
                break
        self.close()

    def close(self) -> None:
        self._stream.close()
