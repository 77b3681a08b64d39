"""Methods side by side on one stream: figures of several run folders as means and spreads over seeds.

Reads `summary.json` of finished runs and judges nothing else. Launching runs is the caller's: `fill_grid` is handed a
callable and asks it only for the cells that are not finished yet.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from evaluation.run_folder import NotARunFolder, Row, lookup, number, read_summary

# name of a figure -> where the summary has it; the gain is derived from the first two
SOURCES = {
    "hmean": "quality.hmean",
    "hmean_frozen": "quality.hmean_frozen",
    "worst_drop": "quality.worst_drop",
    "negative_window_share": "quality.negative_window_share",
    "p99_ms": "latency_ms.capture_to_result.p99",
    "step_ms": "adaptation.step_ms.p50",
    "steps": "adaptation.steps_applied",
}
FIGURES = ("hmean", "hmean_frozen", "gain", *[name for name in SOURCES if not name.startswith("hmean")])
SAME_ACROSS_RUNS = ("stream", "model", "size", "pace")


class IncomparableRuns(ValueError):
    """The runs do not answer the same question; the message is one line naming what differs."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation over `num` runs; the deviation is nan of one run, both are nan of none."""

    mean: float
    deviation: float
    num: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Over the values that are numbers."""
        known = [value for value in values if value == value]
        mean = statistics.fmean(known) if known else float("nan")
        return cls(mean, statistics.stdev(known) if len(known) > 1 else float("nan"), len(known))


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """One method: `figures` by the names in FIGURES, `visits` its mIoU by visit, both over its runs."""

    method: str
    seeds: tuple[int, ...]
    figures: Mapping[str, Spread]
    visits: tuple[Spread, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods in the order in which they were first given. `conditions` are the facts all runs share.

    `visits` are the names of the domain visits, `frozen_visits` the frozen model's mIoU on them over all runs.
    """

    conditions: Mapping[str, str]
    methods: tuple[MethodFigures, ...]
    visits: tuple[str, ...]
    frozen_visits: tuple[Spread, ...]


def compare(run_dirs: Sequence[Path]) -> Comparison:
    """Figures of finished runs by method.

    Raises:
        NotARunFolder: a folder has no readable summary.
        IncomparableRuns: the runs differ in stream, model, size, pace or visits, or a cell occurs twice.
    """
    if not run_dirs:
        raise IncomparableRuns("no runs to compare; give at least one run folder")
    summaries = [_summary(run_dir) for run_dir in run_dirs]
    conditions = {key: _shared(key, summaries, run_dirs) for key in SAME_ACROSS_RUNS}
    by_method: dict[str, list[Row]] = {}
    for summary in summaries:
        by_method.setdefault(str(summary.get("method")), []).append(summary)
    for method, group in by_method.items():
        seeds = [summary.get("seed") for summary in group]
        if len(set(seeds)) < len(seeds):
            raise IncomparableRuns(f"method {method} has two runs of one seed among {seeds}; give each cell once")
    visits = _shared_visits(summaries)
    return Comparison(
        conditions=conditions,
        methods=tuple(_method_figures(method, group, len(visits)) for method, group in by_method.items()),
        visits=visits,
        frozen_visits=_visit_spreads(summaries, "miou_frozen", len(visits)),
    )


def fill_grid(
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    run_one: Callable[[str, int], Path],
    known: Iterable[Path] = (),
) -> list[Path]:
    """One finished run folder for each method and seed, methods outermost.

    A folder among `known` that holds a whole run of a cell is used again; `run_one(method, seed)` is called for the
    others and returns the folder it wrote. The caller vouches that known folders were run under the same settings.
    """
    finished: dict[tuple[str, int], Path] = {}
    for run_dir in known:
        summary = read_summary(run_dir)
        if summary is not None and summary.get("ended", "end") == "end":
            finished.setdefault((str(summary.get("method")), int(summary.get("seed", -1))), run_dir)
    return [finished.get((method, seed)) or run_one(method, seed) for method, seed in product(methods, seeds)]


def _summary(run_dir: Path) -> Row:
    summary = read_summary(run_dir)
    if summary is None:
        raise NotARunFolder(f"{run_dir}: has no readable summary.json; give folders of finished runs")
    return summary


def _shared(key: str, summaries: Sequence[Row], run_dirs: Sequence[Path]) -> str:
    """The one value all runs have."""
    first = summaries[0].get(key)
    for summary, run_dir in zip(summaries, run_dirs, strict=True):
        if summary.get(key) != first:
            raise IncomparableRuns(f"{run_dir}: {key} is {summary.get(key)}, expected {first} as in {run_dirs[0]}")
    return str(first)


def _shared_visits(summaries: Sequence[Row]) -> tuple[str, ...]:
    """Names of the visits; none where a run is unlabelled or frames were dropped so that visits differ."""
    named = {tuple(str(visit.get("name")) for visit in lookup(s, "quality.domains") or []) for s in summaries}
    return named.pop() if len(named) == 1 else ()


def _method_figures(method: str, group: Sequence[Row], num_visits: int) -> MethodFigures:
    columns = {name: [number(lookup(summary, path)) for summary in group] for name, path in SOURCES.items()}
    columns["gain"] = [ours - theirs for ours, theirs in zip(columns["hmean"], columns["hmean_frozen"], strict=True)]
    return MethodFigures(
        method=method,
        seeds=tuple(int(summary.get("seed", -1)) for summary in group),
        figures={name: Spread.of(columns[name]) for name in FIGURES},
        visits=_visit_spreads(group, "miou", num_visits),
    )


def _visit_spreads(summaries: Sequence[Row], key: str, num_visits: int) -> tuple[Spread, ...]:
    return tuple(
        Spread.of(number(summary["quality"]["domains"][visit].get(key)) for summary in summaries)
        for visit in range(num_visits)
    )
