"""Recordings that are lists of image files, with or without label files: read, brought to one size, faults counted.

A damaged file costs its own frame and nothing else, and is told by name. Knows no directory layout: `directory.py` and
`datasets/` make the lists.
"""

# H height, W width, C channels (RGB)

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streams.frame import Frame
from streams.images import read_image, read_label, resize_image, resize_label

MAX_TOLD = 10  # damaged files; of a folder that was copied badly there may be thousands


def untold(_: str) -> None:
    """For recordings whose damaged files nobody asks for by name. No lambda: loaders are pickled for workers."""


class FirstTold:
    """Hands each line on once, MAX_TOLD at most, and then says that there are more."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, line: str) -> None:
        if line in self._told or len(self._told) > MAX_TOLD:
            return
        self._told.add(line)
        self._tell(line if len(self._told) <= MAX_TOLD else "more files are damaged; from now on they are only counted")


@dataclass(frozen=True, slots=True)
class Entry:
    """The files of one frame, and the domain it belongs to where the recording says so."""

    image: Path
    label: Path | None = None
    domain: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What came of an entry; `faults` names all that was not as it should be (see `Stream.faults`)."""

    image_HWC: np.ndarray | None
    label_HW: np.ndarray | None
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Loader:
    """Reads entries; images come out at `size_HW`, or as large as the recording itself where that is None.

    `native_HW` is the size that images of this recording have; another one is counted as `resized`, and left as it is
    by `keeps_sizes`. `label_lut` maps the 256 possible label ids to train ids; None means a recording without labels.
    `tell` hears of each damaged file, in a line.
    """

    native_HW: tuple[int, int]
    size_HW: tuple[int, int] | None = None
    label_lut: np.ndarray | None = None
    keeps_sizes: bool = False
    tell: Callable[[str], None] = untold

    def load(self, entry: Entry) -> Loaded:
        """Reads one entry from disk."""
        image_HWC = read_image(entry.image)
        if image_HWC is None:
            self.tell(f"{entry.image}: no image can be read from this file; its frame is left out")
            return Loaded(None, None, ("decode_error",))
        height, width = image_HWC.shape[:2]
        size_HW = (height, width) if self.keeps_sizes else self.size_HW or self.native_HW
        faults: tuple[str, ...] = () if image_HWC.shape[:2] == self.native_HW else ("resized",)
        label_HW = None
        if self.label_lut is not None:
            if entry.label is None or not os.path.exists(entry.label):
                faults += ("missing_label",)
            else:
                label_HW = read_label(entry.label)
                if label_HW is None or label_HW.shape != image_HWC.shape[:2]:
                    self.tell(f"{entry.label}: no labels as large as the image can be read from this file; it has none")
                    label_HW, faults = None, (*faults, "label_error")
                else:
                    label_HW = resize_label(self.label_lut[label_HW], size_HW)
        return Loaded(resize_image(image_HWC, size_HW), label_HW, faults)


def first_readable_HW(entries: Sequence[Entry]) -> tuple[int, int] | None:
    """Size of the first image that can be read, None where there is none."""
    for entry in entries:
        image_HWC = read_image(entry.image)
        if image_HWC is not None:
            return image_HWC.shape[0], image_HWC.shape[1]
    return None


class Recording:
    """Entries as a stream: entry i is frame i, from `start` on; unreadable ones are gaps in the indices."""

    def __init__(
        self,
        entries: Sequence[Entry],
        loader: Loader,
        *,
        name: str,
        fps: float,
        clock: Callable[[], float],
        start: int = 0,
    ) -> None:
        self._entries = entries
        self._loader = loader
        self._name = name.encode(errors="replace").decode()  # of a folder, which may be named in other bytes than UTF-8
        self._fps = fps
        self._clock = clock
        self._cursor = self._start = start
        self._faults: Counter[str] = Counter()
        self._is_closed = False

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
        return max(len(self._entries) - self._start, 0)

    @property
    def cursor(self) -> int:
        return self._cursor

    @property
    def faults(self) -> Mapping[str, int]:
        return dict(self._faults)

    def __iter__(self) -> Iterator[Frame]:
        while self._cursor < len(self._entries) and not self._is_closed:
            index = self._cursor
            self._cursor = index + 1
            entry = self._entries[index]
            loaded = self._loader.load(entry)
            self._faults.update(loaded.faults)
            if loaded.image_HWC is not None:
                yield Frame(index, self._clock(), loaded.image_HWC, label_HW=loaded.label_HW, domain=entry.domain)

    def close(self) -> None:
        self._is_closed = True
