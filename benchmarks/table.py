"""Tables of figures, as text for the terminal and as Markdown for the results that are kept.

    Table("latency", header=("run", "p99 ms"), rows=(("frozen", "81.2"),)).text()

The first column is words, the others are numbers and stand at the right. Knows nothing of what it shows.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.compare import Spread

UNKNOWN = "-"
NOTE_WIDTH = 110


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` hold as many cells as `header`; `note` is a sentence below it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.title!r}: a row has {len(row)} cells, expected {len(self.header)}")

    def with_note(self, sentence: str) -> "Table":
        """The same with another sentence below it, where there is one."""
        return replace(self, note=f"{self.note} {sentence}".strip())

    def text(self) -> str:
        """Columns aligned by spaces."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        body = [_padded(line, widths) for line in lines]
        note = textwrap.wrap(self.note, width=NOTE_WIDTH)
        return "\n".join([self.title, *(f"  {line}" for line in [*body, *note])])

    def markdown(self) -> str:
        """A Markdown section."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        lines = ["| " + " | ".join(_escaped(line)) + " |" for line in (self.header, rule, *self.rows)]
        return "\n".join([f"### {self.title}", "", *lines, *(["", self.note] if self.note else [])])


def decimal(value: float, *, digits: int = 1, is_signed: bool = False) -> str:
    """A number with fixed digits, a dash where there is none."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:+.{digits}f}" if is_signed else f"{value:.{digits}f}"


def spread(value: Spread, *, digits: int = 1, is_signed: bool = False) -> str:
    """`47.3 +- 0.4`; without a deviation where there is one sample, a dash where there is none."""
    mean = decimal(value.mean, digits=digits, is_signed=is_signed)
    return f"{mean} +- {value.deviation:.{digits}f}" if math.isfinite(value.deviation) else mean


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(line, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return "  ".join(cells).rstrip()


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]
