"""A directory of images as an unlabelled stream, in natural order (img2 before img10)."""

import re
from pathlib import Path

from streams.images import IMAGE_SUFFIXES
from streams.protocol import StreamNotOpened
from streams.recording import Entry


def list_images(directory: Path) -> tuple[Entry, ...]:
    """Images lying directly in the directory; StreamNotOpened where it cannot be listed or holds none."""
    try:
        paths = [path for path in directory.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    except OSError as error:
        raise StreamNotOpened(
            f"--stream {directory}: the directory cannot be listed ({error.strerror}); check its permissions"
        ) from error
    if not paths:
        raise StreamNotOpened(
            f"--stream {directory}: no images there (expected {' '.join(sorted(IMAGE_SUFFIXES))}); "
            "give the directory that holds the frames themselves"
        )
    return tuple(Entry(path) for path in sorted(paths, key=lambda path: natural_key(path.name)))


def natural_key(name: str) -> tuple[tuple[str, int], ...]:
    """Sorts numbers inside names by value; equal values with different zeros keep a fixed order by the name itself."""
    parts = re.findall(r"(\D*)(\d*)", name.lower())
    return (*((text, int(digits or -1)) for text, digits in parts), (name, 0))
