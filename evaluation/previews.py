"""Preview strips of a report: what the camera saw, the truth, and both models' answers, one strip per domain visit.

Files are named VISIT-DOMAIN-KIND, as `runtime/moments.py` writes them; other images are not shown.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation import page

KINDS = ("image", "label", "frozen", "adapted")
MAX_STRIPS = 16
_NAME = re.compile(rf"(?P<visit>\d+)-(?P<domain>.+)-(?P<kind>{'|'.join(KINDS)})")


def preview_strips(files: Sequence[Path]) -> Iterator[str]:
    """At most `MAX_STRIPS` strips in order of their visits, each with its kinds in a fixed order."""
    strips: dict[tuple[int, str], dict[str, Path]] = {}
    for file in files:
        name = _NAME.fullmatch(file.stem)
        if name is not None and file.suffix.lower() in page.MEDIA_TYPES:
            strips.setdefault((int(name["visit"]), name["domain"]), {})[name["kind"]] = file
    for (visit, domain), images in sorted(strips.items())[:MAX_STRIPS]:
        shown = [page.image(kind, images[kind].read_bytes(), images[kind].suffix) for kind in KINDS if kind in images]
        yield page.strip(f"{domain}, visit {visit + 1}", shown)
    if len(strips) > MAX_STRIPS:
        yield page.paragraph(f"and {len(strips) - MAX_STRIPS} more visits in previews/")
