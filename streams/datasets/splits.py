"""From words to a split on disk: `camvid`, `camvid:test_dusk`, `camvid:train+val`; the dict of layouts is here.

    split = open_split("camvid:test_dusk", Path("path/to/camvid"), option="--dataset")
    for frame in split.as_stream(fps=10.0): ...
    samples = LabelledSamples(split)

All that can be wrong with words or folder is found here, before the first frame.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from streams.datasets.camvid import CAMVID
from streams.datasets.cityscapes import CITYSCAPES_LAYOUT
from streams.datasets.layout import Layout
from streams.protocol import StreamNotOpened, UnknownStream
from streams.recording import Entry, Loader, Recording, first_readable_HW, untold
from streams.wording import nearest, shown

LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (CAMVID, CITYSCAPES_LAYOUT)}

# Labelled sets are stills taken seconds apart; played at this rate they make a brisk stream.
DEFAULT_FPS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Entries of one or more joined splits; at least one image among them could be read, of size `native_HW`."""

    layout: Layout
    name: str
    entries: tuple[Entry, ...]
    native_HW: tuple[int, int]

    def loader(self, size_HW: tuple[int, int] | None) -> Loader:
        """Reads entries with labels in train ids."""
        return Loader(self.native_HW, size_HW, self.layout.label_lut)

    def as_stream(
        self,
        *,
        size_HW: tuple[int, int] | None = None,
        fps: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        start: int = 0,
        tell: Callable[[str], None] = untold,
    ) -> Recording:
        """A fresh stream over the entries, its frames' domain being the name of the split; `tell` hears of damage."""
        return Recording(
            self.entries,
            replace(self.loader(size_HW), tell=tell),
            name=f"{self.layout.name}_{self.name}",
            fps=fps or DEFAULT_FPS,
            clock=clock,
            start=start,
        )


def open_split(words: str, data: Path | None, *, option: str = "--dataset", is_source: bool = False) -> Split:
    """`LAYOUT` or `LAYOUT:SPLIT`, splits joined with +, in the folder `data`.

    Without a split the layout's own choice is taken: for a source its `source_split`, else its `stream_split`. `option`
    is what the words followed on the command line, for errors: UnknownStream where the words are wrong,
    StreamNotOpened where the folder is.
    """
    asked = option + ("" if option.endswith((":", " ")) else " ") + shown(words)
    layout_name, _, split_name = words.partition(":")
    if layout_name not in LAYOUTS:
        raise UnknownStream(f"{asked}: no data set layout {layout_name!r}; {nearest(layout_name, LAYOUTS)}")
    layout = LAYOUTS[layout_name]
    split_name = split_name or (layout.source_split if is_source else layout.stream_split)
    if data is None:
        raise UnknownStream(f"{asked}: a data set needs its folder; add --data path/to/{layout.name}")
    splits = _find_splits(layout, data)
    entries: list[Entry] = []
    for part in split_name.split("+"):
        if part not in splits:
            raise UnknownStream(f"{asked}: no split {part!r} in {data}; {nearest(part, splits)}")
        entries += layout.list_entries(data, part)
    native_HW = first_readable_HW(entries)
    if native_HW is None:
        raise StreamNotOpened(
            f"--data {data}: none of the {len(entries)} images of split {split_name} can be read; "
            f"check that {layout.name} was unpacked completely"
        )
    return Split(layout, split_name, tuple(entries), native_HW)


def _find_splits(layout: Layout, data: Path) -> tuple[str, ...]:
    if not os.path.isdir(data):
        raise StreamNotOpened(f"--data {data}: no such folder; point --data at the folder of {layout.name}")
    try:
        splits = layout.find_splits(data)
    except OSError as error:
        raise StreamNotOpened(f"--data {data}: cannot be listed ({error.strerror}); check its permissions") from error
    if not splits:
        raise StreamNotOpened(
            f"--data {data}: no {layout.name} there (expected {layout.expected}); point --data at its folder"
        )
    return splits
