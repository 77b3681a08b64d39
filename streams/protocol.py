"""The Stream protocol and its errors, below everything that produces frames.

    for frame in stream: ...
    stream.close()

Producers import this module; consumers find the same names in `streams.stream`, which also opens streams.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from streams.frame import Frame


class UnknownStream(ValueError):
    """What was asked for is no stream we know, or cannot be asked of it; the message names the nearest. Exit code 2."""


class StreamNotOpened(OSError):
    """The stream is known but its camera, file or directory cannot be read. Exit code 3."""


class StreamLost(OSError):
    """The camera gave frames and gives none any more; a run can go on where it ended. Exit code 3."""


class Stream(Protocol):
    """A producer of frames. Iterate once; `close` may be called at any time, from any thread, and twice."""

    @property
    def name(self) -> str: ...

    @property
    def fps(self) -> float:
        """Nominal rate in frames per second; pacing plays recordings at this rate."""
        ...

    @property
    def is_live(self) -> bool:
        """True for cameras: frames arrive when they want and cannot be waited for."""
        ...

    @property
    def num_frames(self) -> int | None:
        """Frames to come in all, None where nobody can know."""
        ...

    @property
    def cursor(self) -> int:
        """Index of the next frame."""
        ...

    @property
    def faults(self) -> Mapping[str, int]:
        """Items not as they should be, so far, counted by reason, e.g. {"decode_error": 2, "missing_label": 1}.

        Reasons: `decode_error` (no image, its index stays a gap), `resized` (image of another size than the first,
        brought to it), `missing_label` and `label_error` (frame given without label), `truncated` (frames that a
        video promises and does not hold), `read_error` (a camera gave nothing when asked).
        """
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Returns at the end or once closed; StreamLost where a camera that has no end is gone."""
        ...

    def close(self) -> None: ...
