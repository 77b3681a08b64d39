"""What streams around another stream have in common: they are that stream but for what they change."""

from collections.abc import Mapping

from streams.protocol import Stream


class Wrapped:
    """Everything but the frames, taken from the stream within, which it closes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

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
        return self._stream.num_frames

    @property
    def cursor(self) -> int:
        return self._stream.cursor

    @property
    def faults(self) -> Mapping[str, int]:
        return self._stream.faults

    def close(self) -> None:
        self._stream.close()
