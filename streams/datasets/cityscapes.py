"""Cityscapes as downloaded: leftImg8bit/SPLIT/CITY/*_leftImg8bit.png, gtFine/SPLIT/CITY/*_gtFine_labelIds.png.

Label ids are mapped to train ids on the fly, so nothing has to be converted first.
"""

from pathlib import Path

from streams.datasets.labels import CITYSCAPES_LABEL_IDS
from streams.datasets.layout import Layout
from streams.recording import Entry

_IMAGE_END = "_leftImg8bit.png"
_LABEL_END = "_gtFine_labelIds.png"


def find_splits(data: Path) -> tuple[str, ...]:
    """Folders below leftImg8bit."""
    images = data / "leftImg8bit"
    return tuple(sorted(path.name for path in images.iterdir() if path.is_dir())) if images.is_dir() else ()


def list_entries(data: Path, split: str) -> tuple[Entry, ...]:
    """City by city; within a city names sort by sequence and frame number."""
    images, labels = data / "leftImg8bit" / split, data / "gtFine" / split
    return tuple(
        Entry(
            image=path,
            label=labels / path.parent.name / (path.name.removesuffix(_IMAGE_END) + _LABEL_END),
            domain=split,
        )
        for path in sorted(images.glob(f"*/*{_IMAGE_END}"))
    )


CITYSCAPES_LAYOUT = Layout(
    name="cityscapes",
    description="Cityscapes as downloaded, 2048x1024, 19 classes",
    expected="leftImg8bit/SPLIT/CITY",
    stream_split="val",
    source_split="train",
    label_lut=CITYSCAPES_LABEL_IDS,
    find_splits=find_splits,
    list_entries=list_entries,
)
