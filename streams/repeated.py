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
        self._stream = open_round(0)
        length = None if self._stream.is_live else self._stream.num_frames
        if not length:
            self._stream.close()
            raise UnknownStream(
                f"--rounds {rounds}: {self._stream.name} has no known end to begin again after (expected a recording "
                "or a preset); leave it out"
            )
        self._length = length
        self._cursor = self._start = start
        self._round, offset = divmod(start, length)
        if offset:
            self._stream.close()
            self._stream = open_round(offset)
        self._past_faults: Counter[str] = Counter()
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
        return self._past_faults + Counter(self._stream.faults)

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

    def _rewind(self) -> None:
        self._stream.close()
        self._past_faults.update(self._stream.faults)
        self._stream = self._open_round(0)
