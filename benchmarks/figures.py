"""Quality figures of one method on one stream over several seeds: adapted against frozen, paired by run.

Reads the summaries of finished runs, in which the frozen model answered every frame too (`shadow` 1), so both scores
of a pair come from the same frames. Points of mIoU throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Table, decimal, spread
from evaluation.compare import MethodFigures, Spread, compare, with_track
from evaluation.run_folder import Row, lookup, number, read_summary

OVERVIEW = (
    *("hmean_frozen", "hmean", "gain", "gap_closed", "worst_drop", "return_difference", "negative_window_share"),
    *("worst_window", "unsafe_classes", "unsafe_in_a_visit", "forgetting"),
)
COSTS = ("steps", "step_ms", "forwards_per_frame", "all_forwards_per_frame")
HEADINGS = {
    "hmean_frozen": "frozen hmean",
    "gap_closed": "% of gap",
    "worst_drop": "worst drop",
    "return_difference": "back at start",
    "negative_window_share": "harmed windows",
    "worst_window": "worst window",
    "unsafe_classes": "classes hurt",
    "unsafe_in_a_visit": "in one visit",
    "forgetting": "forgotten",
    "step_ms": "step ms",
    "forwards_per_frame": "F/frame",
    "all_forwards_per_frame": "all F/frame",
}
DIGITS = {"gap_closed": 0, "steps": 0, "forwards_per_frame": 2, "all_forwards_per_frame": 2}
SIGNED = ("gain", "return_difference")
NOTE = (
    "Means over seeds +- sample deviation, mIoU in points. hmean: harmonic mean over visits; % of gap: of the way from "
    "frozen to the oracle, where that was run; worst drop: largest shortfall against frozen on any visit; back at "
    "start: adapted - frozen on the least favourable later visit to the domain the stream began in; harmed windows: "
    "share of 100-frame windows more than 0.5 below frozen; worst window: largest shortfall in one; classes hurt: more "
    "than 10 points of IoU below frozen over the run, and in the worst visit; forgotten: points lost on held-out "
    "source samples; F/frame: time of learning steps over that of inference, over the run; all F/frame: with the "
    "forwards that weigh what was learnt against the frozen model and those that take the stream's statistics; in "
    "brackets the track, what a method needs besides the stream."
)


@dataclass(frozen=True, slots=True)
class VisitFigures:
    """One visit of the stream; `difference` is adapted - frozen within each run."""

    name: str
    frozen: Spread
    adapted: Spread
    difference: Spread


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """`figures` by the names in OVERVIEW and COSTS; `seeds` in the order of the runs; `track` as in `MethodFigures`."""

    stream: str
    method: str
    track: str
    seeds: tuple[int, ...]
    conditions: Mapping[str, str]
    figures: Mapping[str, Spread]
    visits: tuple[VisitFigures, ...]
    runs: tuple[Mapping[str, float], ...]

    @property
    def named(self) -> str:
        """The method, and its track where it has one."""
        return with_track(self.method, self.track)


def quality_figures(stream: str, run_dirs: Sequence[Path], *, ceiling: Sequence[Path] = ()) -> QualityFigures:
    """Figures of the finished runs of one method on one stream; `stream` is how the reader knows it, `ceiling` the
    oracle's runs there, if there are any.
    """
    (own,) = compare(run_dirs).methods
    comparison = compare([*run_dirs, *(run_dir for run_dir in ceiling if run_dir not in run_dirs)])
    method = next(row for row in comparison.methods if row.method == own.method)
    summaries = [summary for run_dir in run_dirs if (summary := read_summary(run_dir)) is not None]
    returns = [return_difference(_visits(summary)) for summary in summaries]
    return QualityFigures(
        stream=stream,
        method=method.method,
        track=method.track,
        seeds=method.seeds,
        conditions=comparison.conditions,
        figures=_figures(method, returns),
        visits=tuple(
            _visit_figures(name, [_visits(summary)[position] for summary in summaries])
            for position, name in enumerate(comparison.visits)
        ),
        runs=tuple(_run_row(*pair) for pair in zip(summaries, returns, strict=True)),
    )


def return_difference(visits: Sequence[Row]) -> float:
    """Adapted - frozen on the least favourable later visit to the first visit's domain; nan where there is none."""
    later = [_difference(visit) for visit in visits[1:] if visit.get("name") == visits[0].get("name")]
    return min((value for value in later if value == value), default=float("nan"))


def overview_table(rows: Sequence[QualityFigures]) -> Table:
    """One line for each stream and method; the share of the gap stands there if it is known of any."""
    has_ceiling = any(row.figures["gap_closed"].num for row in rows)
    names = [name for name in (*OVERVIEW, *COSTS) if has_ceiling or name != "gap_closed"]
    return Table(
        title="Quality by stream and method",
        header=("stream, method", "runs", *(HEADINGS.get(name, name) for name in names)),
        rows=tuple(
            (f"{row.stream}, {row.named}", str(len(row.seeds)), *(_cell(row.figures[name], name) for name in names))
            for row in rows
        ),
        note=NOTE,
    )


def visit_table(row: QualityFigures) -> Table:
    """One line for each visit, in the order of the stream."""
    seeds = ", ".join(str(seed) for seed in row.seeds)
    return Table(
        title=f"{row.stream}, {row.named}, seeds {seeds}",
        header=("visit", "frozen", "adapted", "difference"),
        rows=tuple(
            (f"{position} {v.name}", spread(v.frozen), spread(v.adapted), spread(v.difference, is_signed=True))
            for position, v in enumerate(row.visits)
        ),
    )


def _figures(method: MethodFigures, returns: Sequence[float]) -> dict[str, Spread]:
    known = {name: method.figures[name] for name in (*OVERVIEW, *COSTS) if name in method.figures}
    return known | {"return_difference": Spread.of(returns)}


def _visit_figures(name: str, visits: Sequence[Row]) -> VisitFigures:
    return VisitFigures(
        name=name,
        frozen=Spread.of(number(visit.get("miou_frozen")) for visit in visits),
        adapted=Spread.of(number(visit.get("miou")) for visit in visits),
        difference=Spread.of(_difference(visit) for visit in visits),
    )


def _run_row(summary: Row, returned: float) -> dict[str, float]:
    return {
        "seed": number(summary.get("seed")),
        "hmean": number(lookup(summary, "quality.hmean")),
        "hmean_frozen": number(lookup(summary, "quality.hmean_frozen")),
        "worst_drop": number(lookup(summary, "quality.worst_drop")),
        "return_difference": returned,
        "negative_window_share": number(lookup(summary, "quality.negative_window_share")),
        "worst_window": number(lookup(summary, "quality.worst_window")),
        "forgetting": number(lookup(summary, "quality.forgetting.points_lost")),
        "steps": number(lookup(summary, "adaptation.steps_applied")),
        "forwards_per_frame": number(lookup(summary, "adaptation.forwards_per_frame")),
        "all_forwards_per_frame": number(lookup(summary, "adaptation.all_forwards_per_frame")),
        "shifts": number(summary.get("num_shifts")),
        "step_ms": number(lookup(summary, "adaptation.step_ms.p50")),
        "wall_s": number(summary.get("wall_s")),
    }


def _visits(summary: Row) -> list[Row]:
    return list(lookup(summary, "quality.domains") or [])


def _difference(visit: Row) -> float:
    return number(visit.get("miou")) - number(visit.get("miou_frozen"))


def _cell(value: Spread, name: str) -> str:
    if name == "negative_window_share":
        return decimal(value.mean, digits=2)
    return spread(value, digits=DIGITS.get(name, 1), is_signed=name in SIGNED)
