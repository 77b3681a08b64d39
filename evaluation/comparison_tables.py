"""A comparison for people and programs: rich table, Markdown, CSV, JSON and a page, all with the same figures."""

import csv
import io
import math
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from evaluation import page
from evaluation.compare import FIGURES, Comparison, MethodFigures, Spread
from evaluation.page import Cell
from runtime.json_values import to_json

HEADINGS = {
    "hmean": "hmean",
    "hmean_frozen": "frozen",
    "gain": "gain",
    "worst_drop": "worst drop",
    "negative_window_share": "harmed windows",
    "p99_ms": "p99 ms",
    "step_ms": "step ms",
    "steps": "steps",
}
SHADOW = "frozen (shadow)"  # the source model beside the adapted one, not a run of the method of that name
NOTE = (
    "Means over seeds, +- sample standard deviation. mIoU in points; hmean is the harmonic mean over domain visits, "
    "worst drop the largest shortfall against frozen on any visit, harmed windows the share of 100-frame windows more "
    "than 0.5 below frozen."
)
DIGITS = {"negative_window_share": 2, "p99_ms": 1, "step_ms": 1, "steps": 0}


def rich_table(comparison: Comparison) -> Table:
    """For the terminal."""
    table = Table(title=escape(_title(comparison)), title_justify="left")
    table.add_column("method")
    for name in ("runs", *(HEADINGS[name] for name in FIGURES)):
        table.add_column(name, justify="right")
    colors = {"good": "green", "bad": "red"}
    for row in comparison.methods:
        cells = {name: _cell(row, name) for name in FIGURES}
        if color := colors.get(page.tone(row.figures["gain"].mean)):
            cells["gain"] = f"[{color}]{cells['gain']}[/]"
        table.add_row(escape(row.method), str(len(row.seeds)), *cells.values())
    return table


def markdown(comparison: Comparison) -> str:
    """The table of figures and, where the runs are labelled, mIoU by visit."""
    lines = [_title(comparison), ""]
    lines += _markdown_table(
        ["method", "runs", *(HEADINGS[name] for name in FIGURES)],
        [[row.method, str(len(row.seeds)), *(_cell(row, name) for name in FIGURES)] for row in comparison.methods],
    )
    if comparison.visits:
        rows = _visit_rows(comparison)
        lines += ["", "mIoU by visit", "", *_markdown_table(["visit", SHADOW, *_names(comparison)], rows)]
    return "\n".join(lines) + "\n"


def csv_text(comparison: Comparison) -> str:
    """One row per method; mean and deviation of every figure in columns of their own, empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "runs", *(f"{name}_{part}" for name in FIGURES for part in ("mean", "deviation"))])
    for row in comparison.methods:
        values = [value for name in FIGURES for value in (row.figures[name].mean, row.figures[name].deviation)]
        writer.writerow([row.method, len(row.seeds), *(value if math.isfinite(value) else "" for value in values)])
    return text.getvalue()


def json_text(comparison: Comparison) -> str:
    """Everything, unknown figures as null."""
    return to_json(comparison, indent=1) + "\n"


def html(comparison: Comparison) -> str:
    """A self-contained page with both tables."""
    header = [Cell("method"), *(Cell(name, "number") for name in ("runs", *(HEADINGS[name] for name in FIGURES)))]
    rows = [
        [page.text(row.method), page.figure(len(row.seeds), digits=0), *(_html_cell(row, name) for name in FIGURES)]
        for row in comparison.methods
    ]
    facts = ", ".join(f"{key} {value}" for key, value in comparison.conditions.items())
    visit_header = [Cell("visit"), *(Cell(page.text(name).html, "number") for name in (SHADOW, *_names(comparison)))]
    visit_rows = [[page.text(row[0]), *(Cell(cell, "number") for cell in row[1:])] for row in _visit_rows(comparison)]
    return page.page(
        _title(comparison),
        [
            page.title(_title(comparison), facts),
            page.section("Methods", page.table(header, rows), note=NOTE),
            page.section("mIoU by visit", page.table(visit_header, visit_rows) if visit_rows else ""),
        ],
    )


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write comparison.md, .csv, .json and .html into `folder`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"md": markdown, "csv": csv_text, "json": json_text, "html": html}
    for suffix, write in writers.items():
        (folder / f"comparison.{suffix}").write_text(write(comparison), encoding="utf-8")
    return folder / "comparison.html"


def _title(comparison: Comparison) -> str:
    return f"{comparison.conditions['stream']}: methods compared"


def _names(comparison: Comparison) -> list[str]:
    return [row.method for row in comparison.methods]


def _cell(row: MethodFigures, name: str) -> str:
    return _spelled(row.figures[name], digits=DIGITS.get(name, 1), is_signed=name == "gain")


def _html_cell(row: MethodFigures, name: str) -> Cell:
    tone = page.tone(row.figures[name].mean) if name == "gain" else ""
    return Cell(page.text(_cell(row, name)).html, f"number {tone}")


def _spelled(spread: Spread, *, digits: int = 1, is_signed: bool = False) -> str:
    """`47.3 +- 0.4`, without a deviation where there is one run, a dash where there is none."""
    mean = page.signed(spread.mean, digits=digits) if is_signed else page.decimal(spread.mean, digits=digits)
    return f"{mean} +- {spread.deviation:.{digits}f}" if math.isfinite(spread.deviation) else mean


def _visit_rows(comparison: Comparison) -> list[list[str]]:
    return [
        [
            name,
            page.decimal(comparison.frozen_visits[visit].mean),
            *(_spelled(row.visits[visit]) for row in comparison.methods),
        ]
        for visit, name in enumerate(comparison.visits)
    ]


def _markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
