"""What a benchmark ends with: conditions, options, tables and data, printed and kept as Markdown and JSON.

    result = Result("latency", conditions, options=config, tables=(table,), data=rows)
    publish(result, folder=Path("runs/bench-latency"), save=None)

Results land in the folder of the runs they came from; `save` also puts them into `benchmarks/results`, which is kept
with the code.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # JSON

from benchmarks.conditions import Conditions
from benchmarks.table import Table
from models.tensorfile import write_atomically
from runtime.json_values import plain, to_json
from runtime.option_words import ConfigError

SCHEMA = 1
KEPT_DIR = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """`options` (a dataclass) and `data` must be what `plain` can turn into JSON; paths go as text."""

    benchmark: str
    conditions: Conditions
    options: dict[str, Any]
    tables: tuple[Table, ...]
    data: Any

    def text(self) -> str:
        """For the terminal."""
        return "\n\n".join([*(table.text() for table in self.tables), "\n".join(self.conditions.lines())])

    def markdown(self) -> str:
        """For people, with the conditions below the tables."""
        options = ", ".join(f"{name} {value}" for name, value in self.options.items() if value is not None)
        facts = "\n".join(f"- {line}" for line in [*self.conditions.lines(), f"options: {options}"])
        sections = [table.markdown() for table in self.tables]
        return "\n\n".join([f"# {self.benchmark}", *sections, "### Conditions", facts]) + "\n"

    def json(self) -> str:
        """For programs; unknown figures are null."""
        content = {
            "schema": SCHEMA,
            "benchmark": self.benchmark,
            "conditions": plain(self.conditions),
            "options": plain(self.options),
            "data": plain(self.data),
        }
        return to_json(content, indent=1) + "\n"


def check_save_name(save: str | None) -> None:
    """ConfigError for a name that is no plain file name."""
    if save is not None and not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", save):
        raise ConfigError(f"--save {save}: expected small letters, digits and _ . -; for example --save rain_b0")


def publish(result: Result, *, folder: Path, save: str | None) -> None:
    """Print the result and write it into `folder`; under the name `save` also into the kept results."""
    print(result.text())
    targets = [folder / result.benchmark, *([KEPT_DIR / save] if save is not None else [])]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in (("json", result.json()), ("md", result.markdown())):
            write_atomically(target.parent / f"{target.name}.{suffix}", text.encode())
        print(f"wrote {target}.md and .json")


def options_of(config: Any) -> dict[str, Any]:  # any frozen dataclass of plain options
    """The options of a benchmark as JSON values; of absolute paths the last part, which means something elsewhere."""
    return {field.name: _portable(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _portable(value: Any) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and value.startswith("/")):
        return Path(value).name if Path(value).is_absolute() else str(value)
    return value
