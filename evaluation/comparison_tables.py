"""A comparison for people and programs: rich tables, Markdown, CSV, JSON and a page, all with the same figures."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from evaluation import page
from evaluation.bootstrap import Interval
from evaluation.compare import Comparison, Spread, with_track
from evaluation.comparison_figures import FIGURES, GROUPS, NOTES
from evaluation.comparison_plots import draw_cost, draw_gains, draw_visits, draw_windowed
from evaluation.page import Cell
from runtime.json_values import to_json

SHADOW = "frozen (shadow)"  # the source model beside the adapted one, not a run of the method of that name
BRACKETED = {"gain": "95 %"}  # figure -> heading of the column with its interval, right of it
LEAD = "over next"
IMPLIED = ("hmean_frozen",)  # figures the terminal has no room for: hmean less gain
WORDS = ("method", "track", "visit", "code")  # columns of words stand at the left
COLORS = {"good": "green", "bad": "red"}


@dataclass(frozen=True, slots=True)
class _Column:
    """A cell for each method; `tones` are "good", "bad" or nothing."""

    heading: str
    cells: Sequence[str]
    tones: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Grid:
    """One table as text, with the tone of every cell."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[tuple[str, ...], ...]
    note: str = ""


def rich_tables(comparison: Comparison) -> Group:
    """For the terminal: a table for each group of figures that is known of any method. Numbers of runs, deviations and
    what other columns imply are left out: 80 columns have no room for them.
    """
    tables = [item for grid in _grids(comparison, is_brief=True) for item in (Text(), _rich(grid))]
    note = [Text(comparison.note, style="yellow")] if comparison.note else []
    return Group(Text(_title(comparison), style="bold"), *note, *tables)


def markdown(comparison: Comparison) -> str:
    """The tables of figures and, where the runs are labelled, mIoU by visit."""
    facts = ", ".join(f"{key} {value}" for key, value in comparison.conditions.items())
    lines = [f"# {_title(comparison)}", "", facts, *(["", comparison.note] if comparison.note else [])]
    for grid in (*_grids(comparison), *_visit_grids(comparison)):
        lines += ["", f"## {grid.title}", "", *_markdown_table(grid), *(["", grid.note] if grid.note else [])]
    return "\n".join(lines) + "\n"


def csv_text(comparison: Comparison) -> str:
    """One row per method, best first: mean and deviation of every figure, ends of every interval; empty if unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    bracketed = ("hmean", "hmean_frozen", "gain", "lead")
    header = ["method", "track", "runs", *(f"{name}_{part}" for name in FIGURES for part in ("mean", "deviation"))]
    writer.writerow([*header, *(f"{name}_{end}" for name in bracketed for end in ("low", "high"))])
    for row in comparison.methods:
        values = [value for name in FIGURES for value in (row.figures[name].mean, row.figures[name].deviation)]
        for name in bracketed:
            bounds = row.intervals.get(name, Interval(math.nan, math.nan))
            values += [bounds.low, bounds.high]
        known = [value if math.isfinite(value) else "" for value in values]
        writer.writerow([row.method, row.track, len(row.seeds), *known])
    return text.getvalue()


def json_text(comparison: Comparison) -> str:
    """Everything, unknown figures as null."""
    return to_json(comparison, indent=1) + "\n"


def html(comparison: Comparison) -> str:
    """A self-contained page with plots and all tables."""
    facts = " \u00b7 ".join(f"{key} {value}" for key, value in comparison.conditions.items())
    score, *others = (page.section(grid.title, _html_table(grid), note=grid.note) for grid in _grids(comparison))
    visits = [page.section(grid.title, _html_table(grid), note=grid.note) for grid in _visit_grids(comparison)]
    plots = page.columns(
        [page.section("Gain over frozen", draw_gains(comparison), note="Points of hmean, with 95 % intervals.")],
        [
            page.section(
                "Gain and cost", draw_cost(comparison), note="Learning time over inference time; up and left wins."
            )
        ],
    )
    over_time = [
        page.section("mIoU over the visits", draw_visits(comparison)),
        page.section("mIoU over windows", draw_windowed(comparison), note="Over the last 100 frames."),
    ]
    title = _title(comparison)
    notices = [page.notice(comparison.note)] if comparison.note else []
    return page.page(title, [page.title(title, facts), *notices, score, plots, *others, *over_time, *visits])


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write comparison.md, .csv, .json and .html into `folder`; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"md": markdown, "csv": csv_text, "json": json_text, "html": html}
    for suffix, write in writers.items():
        (folder / f"comparison.{suffix}").write_text(write(comparison), encoding="utf-8")
    return folder / "comparison.html"


def _title(comparison: Comparison) -> str:
    return f"{comparison.conditions['stream']}: methods compared"


def _grids(comparison: Comparison, *, is_brief: bool = False) -> list[_Grid]:
    """Groups of figures, each without the figures that no method has."""
    grids = [_grid(comparison, title, is_brief=is_brief) for title in GROUPS]
    return [grid for grid in grids if grid is not None]


def _grid(comparison: Comparison, title: str, *, is_brief: bool) -> _Grid | None:
    names = [name for name in GROUPS[title] if any(row.figures[name].num for row in comparison.methods)]
    if is_brief:
        names = [name for name in names if name not in IMPLIED]
    if not names:
        return None
    columns = [_figure_column(comparison, name, is_brief=is_brief) for name in names]
    for name, heading in BRACKETED.items():
        if name in names and any(name in row.intervals for row in comparison.methods):
            columns.insert(names.index(name) + 1, _interval_column(comparison, name, heading))
    if title == "Score" and any("lead" in row.intervals for row in comparison.methods):
        columns.append(_interval_column(comparison, "lead", LEAD))
    if title == "Score" and not is_brief:
        columns.insert(0, _plain_column("runs", [str(len(row.seeds)) for row in comparison.methods]))
    if title == "Cost" and not is_brief and any(row.codes for row in comparison.methods):
        columns.append(_plain_column("code", [" and ".join(row.codes) or page.UNKNOWN for row in comparison.methods]))
    columns.insert(0, _plain_column("track", [row.track or page.UNKNOWN for row in comparison.methods]))
    columns.insert(0, _plain_column("method", [row.method for row in comparison.methods]))
    return _Grid(
        title,
        tuple(column.heading for column in columns),
        tuple(zip(*(column.cells for column in columns), strict=True)),
        tuple(zip(*(column.tones for column in columns), strict=True)),
        NOTES[title],
    )


def _figure_column(comparison: Comparison, name: str, *, is_brief: bool) -> _Column:
    figure = FIGURES[name]
    spreads = [row.figures[name] for row in comparison.methods]
    shown = [Spread(spread.mean, math.nan, spread.num) for spread in spreads] if is_brief else spreads
    cells = [_spelled(spread, digits=figure.digits, is_signed=figure.is_signed) for spread in shown]
    tones = [page.tone(spread.mean) if name == "gain" else "" for spread in spreads]
    return _Column(figure.heading, cells, tones)


def _interval_column(comparison: Comparison, name: str, heading: str) -> _Column:
    """Green or red where the interval leaves out zero."""
    found = [row.intervals.get(name) for row in comparison.methods]
    tones = ["" if one is None else "good" if one.low > 0 else "bad" if one.high < 0 else "" for one in found]
    return _Column(heading, [_bracketed(one) for one in found], tones)


def _plain_column(heading: str, cells: Sequence[str]) -> _Column:
    return _Column(heading, cells, [""] * len(cells))


def _visit_grids(comparison: Comparison) -> list[_Grid]:
    if not comparison.visits:
        return []
    rows = [
        (
            name,
            page.decimal(comparison.frozen_visits[visit].mean),
            *(_spelled(row.visits[visit]) for row in comparison.methods),
        )
        for visit, name in enumerate(comparison.visits)
    ]
    header = ("visit", SHADOW, *(with_track(row.method, row.track) for row in comparison.methods))
    return [_Grid("mIoU by visit", header, tuple(rows), tuple(("",) * len(header) for _ in rows))]


def _rich(grid: _Grid) -> Table:
    table = Table(title=grid.title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.collapse_padding = True
    for heading in grid.header:
        is_whole = heading in ("track", *BRACKETED.values(), LEAD)
        justify: Literal["left", "right"] = "left" if heading in WORDS else "right"
        table.add_column(escape(heading), justify=justify, no_wrap=is_whole, vertical="bottom", overflow="fold")
    for row, tones in zip(grid.rows, grid.tones, strict=True):
        table.add_row(*(Text(cell, style=COLORS.get(tone, "")) for cell, tone in zip(row, tones, strict=True)))
    return table


def _html_table(grid: _Grid) -> str:
    kinds = ["" if heading in WORDS else "number" for heading in grid.header]
    header = [Cell(page.text(name).html, kind) for name, kind in zip(grid.header, kinds, strict=True)]
    rows = [
        [
            Cell(page.text(cell).html, f"{kind} {tone}".strip())
            for cell, kind, tone in zip(row, kinds, tones, strict=True)
        ]
        for row, tones in zip(grid.rows, grid.tones, strict=True)
    ]
    return page.table(header, rows)


def _markdown_table(grid: _Grid) -> list[str]:
    rule = ["---" if heading in WORDS else "---:" for heading in grid.header]
    lines: Sequence[Sequence[str]] = [grid.header, rule, *grid.rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _spelled(spread: Spread, *, digits: int = 1, is_signed: bool = False) -> str:
    """`47.3 +- 0.4`, without a deviation where there is one run, a dash where there is none."""
    mean = page.signed(spread.mean, digits=digits) if is_signed else page.decimal(spread.mean, digits=digits)
    return f"{mean} +- {spread.deviation:.{digits}f}" if math.isfinite(spread.deviation) else mean


def _bracketed(bounds: Interval | None) -> str:
    return page.UNKNOWN if bounds is None else f"[{page.signed(bounds.low)}, {page.signed(bounds.high)}]"
