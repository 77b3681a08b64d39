"""Repeated: a finite stream played several times, one round after the other; indices run on, domains return.

    stream = Repeated(lambda start: open_video(path, start=start), rounds=10)

It is itself a stream. What holds over rounds (is the tenth as good as the first?) is a question the protocols of
continual adaptation ask.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from streams.frame import Frame
from streams.protocol import Stream, UnknownStream


class Repeated:
    """`open_round(start)` must give a fresh stream of the same frames each time, beginning at frame `start` of them.

    Frame i of a stream of N frames has index r N + i in round r, counted from 0; `start` is the index to begin at. A
    stream that holds more frames than it promised is cut at its promise. UnknownStream where there is no end to begin
    again after.
    """

    def __init__(self, open_round: Callable[[int], Stream], *, rounds: int, start: int = 0) -> None:
        if rounds < 1:
            raise ValueError(f"stream.rounds must be at least 1, got {rounds}; leave it out to play once")
        self._open_round = open_round
        self._rounds = rounds
        stream = open_round(0)
        length = None if stream.is_live else stream.num_frames
        if not length:
            stream.close()
            raise UnknownStream(
                f"--rounds {rounds}: {stream.name} has no known end to begin again after (expected a recording "
                "or a preset); leave it out"
            )
        self._length = length
        self._cursor = self._start = start
        self._round, offset = divmod(start, length)
        if offset:
            stream.close()
            stream = open_round(offset)
        self._playing: tuple[Stream, Counter[str]] = (stream, Counter())  # and the faults of rounds before
        self._is_closed = False

    @property
    def name(self) -> str:
        return self._stream.name

    @property
    def fps(self) -> float:
        return self._stream.fps

    @property
    def is_live(self) -> bool:
        return False

    @property
    def num_frames(self) -> int | None:
        return max(self._length * self._rounds - self._start, 0)

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def faults(self) -> Mapping[str, int]:
        """Faults of all rounds so far, added up."""
        stream, before = self._playing
        return before + Counter(stream.faults)

    def __iter__(self) -> Iterator[Frame]:
        while self._round < self._rounds and not self._is_closed:
            first = self._round * self._length
            for frame in self._stream:
                if self._is_closed or frame.index >= self._length:
                    break
                self._cursor = first + frame.index + 1
                yield replace(frame, index=first + frame.index)
            self._round += 1
            if self._round < self._rounds and not self._is_closed:
                self._rewind()
        self._stream.close()  # perhaps opened after `close` was called

    def close(self) -> None:
        self._is_closed = True
        self._stream.close()

    @property
    def _stream(self) -> Stream:
        return self._playing[0]

    def _rewind(self) -> None:
        """Replaces the stream and what came before it at once: another thread may be adding up faults."""
        self._stream.close()
        self._playing = (self._open_round(0), Counter(self.faults))
