"""CamVid in the SegNet layout: `SPLIT.txt` with an image and a label per line, both relative to the folder.

Lists with other roots (`/SegNet/CamVid/train/x.png`) are taken as relative by their last two parts.
"""

from pathlib import Path

from streams.datasets.labels import CAMVID_LABEL_IDS
from streams.datasets.layout import Layout
from streams.images import IMAGE_SUFFIXES
from streams.recording import Entry


def find_splits(data: Path) -> tuple[str, ...]:
    """Every list whose first line starts with an image; other text files may lie beside."""
    return tuple(path.stem for path in sorted(data.glob("*.txt")) if _is_list(path))


def list_entries(data: Path, split: str) -> tuple[Entry, ...]:
    """In the order of the list; a line without a second part is an image without label."""
    return tuple(_entry(data, split, words) for words in _rows(data / f"{split}.txt"))


def _is_list(path: Path) -> bool:
    rows = _rows(path)
    return bool(rows) and Path(rows[0][0]).suffix.lower() in IMAGE_SUFFIXES


def _rows(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.split() for line in lines if line.strip()]


def _entry(data: Path, split: str, words: list[str]) -> Entry:
    label = _rerooted(data, words[1]) if len(words) > 1 else None
    return Entry(image=_rerooted(data, words[0]), label=label, domain=split)


def _rerooted(data: Path, word: str) -> Path:
    path = Path(word)
    return data.joinpath(*path.parts[-2:]) if path.is_absolute() else data / path


CAMVID = Layout(
    name="camvid",
    description="CamVid in the SegNet layout, 480x360, 11 classes",
    expected="SPLIT.txt with an image and a label per line",
    stream_split="test_day",
    source_split="train+val",
    label_lut=CAMVID_LABEL_IDS,
    find_splits=find_splits,
    list_entries=list_entries,
)
