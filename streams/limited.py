"""Limited: the first frames of a stream, then the end."""

from collections.abc import Iterator

from streams.frame import Frame
from streams.protocol import Stream
from streams.wrapped import Wrapped


class Limited(Wrapped):
    """A stream that ends after `max_frames` frames, `num_before` of which were given earlier; closes what it wraps."""

    def __init__(self, stream: Stream, *, max_frames: int, num_before: int = 0) -> None:
        if max_frames < 1:
            raise ValueError(f"stream.max_frames must be at least 1, got {max_frames}; leave it out to play to the end")
        super().__init__(stream)
        self._num_left = max(max_frames - num_before, 0)

    @property
    def num_frames(self) -> int | None:
        whole = self._stream.num_frames
        return self._num_left if whole is None else min(whole, self._num_left)

    def __iter__(self) -> Iterator[Frame]:
        if self._num_left:
            num_left = self._num_left
            for frame in self._stream:
                yield frame
                num_left -= 1
                if num_left == 0:
                    break
        self.close()
