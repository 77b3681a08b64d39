"""What a stream is, and how one is opened from the words a user types.

    stream = open_stream("rain_sequence", options)
    for frame in stream: ...
    stream.close()

Streams know nothing of models or learning.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from streams.frame import Frame


class UnknownStream(ValueError):
    """The name or URI is not one we can open; the message lists the nearest names. Exit code 2."""


class StreamNotOpened(OSError):
    """The stream is known but its camera, file or directory cannot be read. Exit code 3."""


class Stream(Protocol):
    """A producer of frames. Iterate once; `close` may be called at any time, and twice."""

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
        """Items that could not be used so far, counted by reason, e.g. {"decode_error": 2, "missing_label": 1}."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...
