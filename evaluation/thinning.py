"""What a report keeps of a run of any length: curves thinned, marks and faults counted, visits while they can be told
apart.

Each log takes rows one by one and never holds more than a bounded number; nothing of a shorter run is lost. Knows
nothing of files and draws nothing.
"""

# N kept points

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_KEPT = 20_000  # points of a curve, an even number; a drawing shows 1500, and percentiles of so many are steady
MAX_MARKS = 1500  # of a kind, which is as many as are drawn
MAX_SPANS = 500  # visits: more cannot be told apart in a drawing


@dataclass(frozen=True, slots=True)
class Span:
    """One visit: the frames [first, last] in which the stream stayed in domain `name`."""

    name: str
    first: float
    last: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Values over frame indices, both float64 of one length; nan where nothing was measured.

    `peak` is the greatest of all values, those thinned out included; -inf of none.
    """

    frames: np.ndarray
    values: np.ndarray
    peak: float

    @property
    def is_empty(self) -> bool:
        return not bool(np.isfinite(self.values).any())

    def only_measured(self) -> "Curve":
        keep = np.isfinite(self.values)
        return Curve(self.frames[keep], self.values[keep], self.peak)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a frame: a detected shift, a rollback, a refused step, learning shed or resumed."""

    frame: float
    kind: str
    value: float
    detail: str


@dataclass(frozen=True, slots=True)
class Marks:
    """The first marks of each kind in order, and how many there were by kind."""

    listed: tuple[Mark, ...]
    counts: Counter[str]


class CurveLog:
    """Curves over the same frames: all points of a short run, every second, fourth, eighth and so on of longer ones."""

    def __init__(self, *names: str) -> None:
        self.num = 0
        self._stride = 1
        self._frames = array("d")
        self._columns = {name: array("d") for name in names}
        self._peaks = dict.fromkeys(names, -math.inf)

    def add(self, frame: float, values: Sequence[float]) -> None:
        """Values in the order of the names, nan where nothing was measured."""
        is_kept = self.num % self._stride == 0
        self.num += 1
        if is_kept and len(self._frames) == MAX_KEPT:
            self._stride *= 2
            for points in (self._frames, *self._columns.values()):
                del points[1::2]
        if is_kept:
            self._frames.append(frame)
        for (name, column), value in zip(self._columns.items(), values, strict=True):
            self._peaks[name] = max(self._peaks[name], value)  # in this order nan changes nothing
            if is_kept:
                column.append(value)

    def curve(self, name: str) -> Curve:
        return Curve(np.array(self._frames), np.array(self._columns[name]), self._peaks[name])


class PeakLog:
    """A curve that keeps the greatest value of every stretch it is thinned to, where a `CurveLog` keeps the first."""

    def __init__(self) -> None:
        self._num = 0
        self._stride = 1
        self._points: list[tuple[float, float]] = []  # value and frame

    def add(self, frame: float, value: float) -> None:
        if not math.isfinite(value):
            return
        if self._num % self._stride:
            self._points[-1] = max(self._points[-1], (value, frame))
        else:
            if len(self._points) == MAX_KEPT:
                self._stride *= 2
                self._points = [max(pair) for pair in zip(self._points[::2], self._points[1::2], strict=True)]
            self._points.append((value, frame))
        self._num += 1

    def curve(self) -> Curve:
        points_N2 = np.array(self._points, dtype=np.float64).reshape(-1, 2)
        return Curve(points_N2[:, 1], points_N2[:, 0], max(self._points, default=(-math.inf,))[0])


class MarkLog:
    """Counts every mark and lists the first `MAX_MARKS` of each kind."""

    def __init__(self) -> None:
        self._listed: list[Mark] = []
        self._counts: Counter[str] = Counter()

    def add(self, mark: Mark) -> None:
        self._counts[mark.kind] += 1
        if self._counts[mark.kind] <= MAX_MARKS:
            self._listed.append(mark)

    def marks(self) -> Marks:
        return Marks(tuple(self._listed), self._counts)


class SpanLog:
    """The visits in order; a single nameless one where there were more than `MAX_SPANS`."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._are_too_many = False

    def add(self, frame: float, name: str) -> None:
        name = "" if self._are_too_many else name
        if self._spans and self._spans[-1].name == name:
            self._spans[-1] = Span(name, self._spans[-1].first, frame)
            return
        self._spans.append(Span(name, frame, frame))
        if len(self._spans) > MAX_SPANS:
            self._are_too_many = True
            self._spans = [Span("", self._spans[0].first, frame)]

    def spans(self) -> tuple[Span, ...]:
        return tuple(self._spans)
