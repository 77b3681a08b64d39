"""What a run left behind, read back: config, events, summary and previews of one run folder.

Reads only; an unfinished folder (no summary yet, an event line torn by a crash) is read as far as it goes and says so.
Events are read line by line, so that a run of days takes no more memory than one of minutes.
Numbers stay as they were written: times in ms, mIoU in points; see `runtime/record.py` for the writing side.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]  # one JSON object as written: its values are whatever JSON holds
NOTE_FILE = "cell.json"  # beside a run made by a benchmark: the digest of the code it ran, and the seconds it took


class NotARunFolder(ValueError):
    """The path holds no run; the message is one line saying what was expected."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Everything but the events is in memory; they are read from the disk each time they are asked for."""

    path: Path
    config_text: str
    summary: Row | None
    previews: tuple[Path, ...]

    def events(self) -> Iterator[Row | None]:
        """The rows of all events, in order; None for a line that is not a whole JSON object."""
        path = self.path / "events.jsonl"
        if not path.is_file():
            return
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from map(_event, lines)

    def rows(self, event: str) -> list[Row]:
        """All rows of one event at once: a million in ten hours."""
        return [row for row in self.events() if row is not None and row["event"] == event]

    @property
    def started(self) -> Row | None:
        """What was said as the run began."""
        return next((row for row in self.events() if row is not None and row["event"] == "run_started"), None)

    @property
    def is_finished(self) -> bool:
        return self.summary is not None


def read_run(path: Path) -> RunFolder:
    """Read a run folder; raises NotARunFolder where neither events nor a summary can be read."""
    if not path.is_dir():
        raise NotARunFolder(f"{path}: no such run folder; give a folder that holds events.jsonl and summary.json")
    summary = read_summary(path)
    if summary is None and not (path / "events.jsonl").is_file():
        raise NotARunFolder(f"{path}: holds neither events.jsonl nor summary.json; give the folder a run wrote")
    config = path / "config.toml"
    previews = path / "previews"
    return RunFolder(
        path=path,
        config_text=config.read_text(encoding="utf-8", errors="replace") if config.is_file() else "",
        summary=summary,
        previews=tuple(sorted(file for file in previews.iterdir() if file.is_file())) if previews.is_dir() else (),
    )


def number(value: object) -> float:
    """A JSON value as a float; nan for null, strings (as which some writers spell nan) and anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def lookup(row: Row | None, path: str) -> Any:
    """`lookup(summary, "latency_ms.inference.p99")`: the value at a dotted path, None where a part is missing."""
    value: Any = row
    for key in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def read_summary(run_dir: Path) -> Row | None:
    """`summary.json` of a run folder; None where there is none, or one that is not whole."""
    return _read_object(run_dir / "summary.json")


def code_of(run_dir: Path) -> str | None:
    """The digest of the code a benchmark made this run with; None where there is no note of it."""
    code = lookup(_read_object(run_dir / NOTE_FILE), "code")
    return code if isinstance(code, str) else None


def _read_object(path: Path) -> Row | None:
    if not path.is_file():
        return None
    try:
        row = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _event(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("event"), str) else None
