"""What one on-disk layout has to say about itself; each layout is a small file that makes one of these."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streams.recording import Entry


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A labelled data set as it lies on disk.

    `expected` says what its folder must hold, `find_splits` names the splits there (none: not this layout), and
    `list_entries` gives a split's frames in order of time. `label_lut` maps label ids to train ids. `stream_split` is
    played, and `source_split` learnt from, where no split is named.
    """

    name: str
    description: str
    expected: str
    stream_split: str
    source_split: str
    label_lut: np.ndarray
    find_splits: Callable[[Path], tuple[str, ...]]
    list_entries: Callable[[Path, str], tuple[Entry, ...]]
