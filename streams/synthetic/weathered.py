"""Weathered: a finite recording played once per visit, each time in that visit's weather.

    stream = Weathered(lambda: open_split("camvid", "test_day", data), rain_sequence(), seed=0)

It is itself a stream. Labels, depth and motion stay as they were recorded; frames without depth get the road prior.
What a visit's frame count says does not matter here: a visit lasts as long as the recording, and ramps run over it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from streams.frame import Frame
from streams.protocol import Stream
from streams.synthetic.sequences import Sequence
from streams.synthetic.weather import apply_weather


class Weathered:
    """`open_recording` is called once per visit and must give a fresh finite stream, the same each time.

    Frame i of a recording of N frames has index v N + i in visit v; a frame that the recording could not give leaves
    its gap. `start` is the index to begin at. ValueError where the recording's length is unknown.
    """

    def __init__(self, open_recording: Callable[[], Stream], sequence: Sequence, *, seed: int, start: int = 0) -> None:
        self._open_recording = open_recording
        self._sequence = sequence
        self._seed = seed
        recording = open_recording()
        length = recording.num_frames
        if not length:
            raise ValueError(
                f"weather is rendered on finite recordings, and {recording.name!r} has no known number of "
                "frames; play it as it is, or give a data set split"
            )
        self._length = length
        self._cursor = self._start = start
        self._playing: tuple[Stream, Counter[str]] = (recording, Counter())  # and the faults of passes before
        self._is_closed = False

    @property
    def name(self) -> str:
        return f"{self._sequence.name} on {self._recording.name}"

    @property
    def fps(self) -> float:
        return self._recording.fps

    @property
    def is_live(self) -> bool:
        return False

    @property
    def num_frames(self) -> int | None:
        return max(self._length * len(self._sequence.visits) - self._start, 0)

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def faults(self) -> Mapping[str, int]:
        """Faults of all passes so far, added up."""
        recording, before = self._playing
        return before + Counter(recording.faults)

    def __iter__(self) -> Iterator[Frame]:
        first_visit = self._start // self._length
        for number in range(first_visit, len(self._sequence.visits)):
            if self._is_closed:
                return
            if number > first_visit:
                self._rewind()
            for frame in self._recording:
                if self._is_closed:  # perhaps while the recording was being rewound
                    self._recording.close()
                    return
                index = number * self._length + frame.index
                if index < self._start:
                    continue
                self._cursor = index + 1
                yield self._in_weather(frame, number, index)

    def close(self) -> None:
        self._is_closed = True
        self._recording.close()

    @property
    def _recording(self) -> Stream:
        return self._playing[0]

    def _rewind(self) -> None:
        """Replaces the recording and what came before it at once: another thread may be adding up faults."""
        self._recording.close()
        self._playing = (self._open_recording(), Counter(self.faults))

    def _in_weather(self, frame: Frame, number: int, index: int) -> Frame:
        visit = self._sequence.visits[number]
        weather = visit.at(min(frame.index / self._length, 1.0))
        image_HWC = apply_weather(frame.image_HWC, frame.depth_HW, weather, seed=self._seed, index=index)
        return replace(frame, index=index, image_HWC=image_HWC, domain=visit.name)
