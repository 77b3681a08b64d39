"""Methods side by side on one stream: figures of several run folders, best first, and how sure they are.

Reads what finished runs left (`summary.json`, `slices.npz`) and judges nothing else; launching runs is the caller's.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from evaluation.bootstrap import Interval, Replicates, interval, pooled, resample
from evaluation.ceiling import with_ceiling
from evaluation.comparison_figures import FIGURES
from evaluation.curves import WindowedCurve, mean_curve, windowed_curve
from evaluation.run_folder import NotARunFolder, Row, code_of, lookup, number, read_summary
from evaluation.slices import SLICES_NAME, read_slices
from runtime.scores import POINTS

SAME_ACROSS_RUNS = ("stream", "model", "size", "pace", "latency")
NO_NAMES: Mapping[Path, str] = MappingProxyType({})
POOLING_SEED = 0  # the same for all methods, so that equal runs get equal intervals


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
    """One method: `figures` by the names in FIGURES, `visits` its mIoU by visit, both over its runs.

    `track` says what it needs besides the stream (empty where runs do not tell), `codes` are digests of the code its
    runs were made with, each once (none where runs do not tell). `intervals`, in points, are of hmean,
    hmean_frozen and gain, and under `lead` of its hmean less that of the method ranked next, on the same frames; none
    where runs left no slices, or have no seed in common. `windowed` is its mIoU along the stream; None where no
    run is as long as a window.
    """

    method: str
    track: str
    seeds: tuple[int, ...]
    codes: tuple[str, ...]
    figures: Mapping[str, Spread]
    intervals: Mapping[str, Interval]
    visits: tuple[Spread, ...]
    windowed: WindowedCurve | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods by gain over frozen, best first. `conditions` are the facts all runs share, `note` is what else a reader
    must know of them.

    `visits` are the names of the domain visits, `frozen_visits` the frozen model's mIoU on them over all runs.
    """

    conditions: Mapping[str, str]
    methods: tuple[MethodFigures, ...]
    visits: tuple[str, ...]
    frozen_visits: tuple[Spread, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The runs of one method; `replicates` by seed and `curves`, of those that left slices."""

    method: str
    summaries: Sequence[Row]
    codes: Sequence[str]
    replicates: Mapping[int, Replicates]
    curves: Sequence[WindowedCurve]

    @property
    def rank(self) -> tuple[float, float, str]:
        """Best gain first, then least cost; unknown last."""
        gain, cost = (_spread(self.summaries, name).mean for name in ("gain", "forwards_per_frame"))
        return (-gain if gain == gain else math.inf, cost if cost == cost else math.inf, self.method)


def compare(run_dirs: Sequence[Path], *, names: Mapping[Path, str] = NO_NAMES, note: str = "") -> Comparison:
    """Figures of finished runs by method, or by what `names` calls a run where the same method ran in several ways.
    `note` stands above the tables.

    Raises:
        NotARunFolder: a folder has no readable summary.
        IncomparableRuns: the runs differ in stream, model, size, pace or latency, or a cell occurs twice.
    """
    if not run_dirs:
        raise IncomparableRuns("no runs to compare; give at least one run folder")
    summaries = with_ceiling({run_dir: _summary(run_dir) for run_dir in run_dirs})
    rows = list(summaries.values())
    shared = {key: _shared(key, summaries) for key in SAME_ACROSS_RUNS}
    conditions = {key: str(value) for key, value in shared.items() if value is not None}
    by_method: dict[str, list[Path]] = {}
    for run_dir, summary in summaries.items():
        by_method.setdefault(names.get(run_dir, str(summary.get("method"))), []).append(run_dir)
    groups = sorted(
        (_group(method, {path: summaries[path] for path in paths}) for method, paths in by_method.items()),
        key=lambda group: group.rank,
    )
    visits = _shared_visits(rows)
    return Comparison(
        conditions=conditions,
        methods=tuple(
            _method_figures(group, following, len(visits))
            for group, following in zip(groups, [*groups[1:], None], strict=True)
        ),
        visits=visits,
        frozen_visits=_visit_spreads(rows, "miou_frozen", len(visits)),
        note=note,
    )


def with_track(method: str, track: str) -> str:
    """`styled (source-replay)`: the method, and in brackets what it needs besides the stream, where that is known."""
    return f"{method} ({track})" if track not in ("", "none") else method


def _summary(run_dir: Path) -> Row:
    summary = read_summary(run_dir)
    if summary is None:
        raise NotARunFolder(f"{run_dir}: has no readable summary.json; give folders of finished runs")
    return summary


def _shared(key: str, summaries: Mapping[Path, Row]) -> object:
    """The one value all runs have."""
    (first_dir, first), *_ = summaries.items()
    for run_dir, summary in summaries.items():
        if summary.get(key) != first.get(key):
            raise IncomparableRuns(
                f"{run_dir}: {key} is {summary.get(key)}, expected {first.get(key)} as in {first_dir}"
            )
    return first.get(key)


def _shared_visits(summaries: Sequence[Row]) -> tuple[str, ...]:
    """Names of the visits; none where a run is unlabelled or frames were dropped so that visits differ."""
    named = {tuple(str(visit.get("name")) for visit in lookup(s, "quality.domains") or []) for s in summaries}
    return named.pop() if len(named) == 1 else ()


def _group(method: str, summaries: Mapping[Path, Row]) -> _Group:
    seeds = [summary.get("seed") for summary in summaries.values()]
    if len(set(seeds)) < len(seeds):
        raise IncomparableRuns(f"method {method} has two runs of one seed among {seeds}; give each cell once")
    counts = {
        _seed(summary): slices
        for run_dir, summary in summaries.items()
        if (slices := read_slices(run_dir / SLICES_NAME)) is not None
    }
    replicates = {seed: resample(slices, seed=seed) for seed, slices in counts.items()}
    curves = [windowed_curve(slices) for slices in counts.values()]
    codes = sorted({code for run_dir in summaries if (code := code_of(run_dir)) is not None})
    return _Group(method, list(summaries.values()), codes, replicates, curves)


def _method_figures(group: _Group, following: _Group | None, num_visits: int) -> MethodFigures:
    return MethodFigures(
        method=group.method,
        track=str(group.summaries[0].get("track") or ""),
        seeds=tuple(_seed(summary) for summary in group.summaries),
        codes=tuple(group.codes),
        figures={name: _spread(group.summaries, name) for name in FIGURES},
        intervals=_intervals(group.replicates, {} if following is None else following.replicates),
        visits=_visit_spreads(group.summaries, "miou", num_visits),
        windowed=mean_curve(group.curves),
    )


def _intervals(replicates: Mapping[int, Replicates], following: Mapping[int, Replicates]) -> dict[str, Interval]:
    own = list(replicates.values())
    if not own:
        return {}
    columns = {
        "hmean": [one.hmean_R for one in own],
        "hmean_frozen": [one.hmean_frozen_R for one in own],
        "gain": [one.gain_R for one in own],
        "lead": [one.hmean_R - following[seed].hmean_R for seed, one in replicates.items() if seed in following],
    }
    return {name: interval(POINTS * pooled(runs, seed=POOLING_SEED)) for name, runs in columns.items() if runs}


def _spread(summaries: Sequence[Row], name: str) -> Spread:
    return Spread.of(FIGURES[name].of(summary) for summary in summaries)


def _visit_spreads(summaries: Sequence[Row], key: str, num_visits: int) -> tuple[Spread, ...]:
    return tuple(
        Spread.of(number(summary["quality"]["domains"][visit].get(key)) for summary in summaries)
        for visit in range(num_visits)
    )


def _seed(summary: Row) -> int:
    return int(summary.get("seed", -1))
