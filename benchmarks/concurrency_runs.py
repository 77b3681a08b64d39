"""Figures of concurrent runs, read from their folders, and their table.

A frame misses its deadline when it is dropped or its result comes more than one frame period after its capture. The
first seconds of a run do not count: the learner starts when the shift is confirmed, pools of threads when first used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conditions import Percentiles
from benchmarks.method_words import named
from benchmarks.table import UNKNOWN, Table, decimal
from evaluation.run_folder import Row, number, read_run

WARMUP_S = 2.0
WARMUP_FRAMES = 20  # of a measurement of capacity, which knows no seconds
STEPS = ("applied", "shadowed", "refused_guard")  # outcomes of whole steps
NOTE = (
    "Capture to result, without the first two seconds. Missed: dropped, or later than one frame period. Level: the "
    "highest the governor reached; above 0 it learns less. Ratio: adapting over frozen, median of the pairs. "
    "Weights are random where none are shipped for a model: times only."
)


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """Some runs of one kind together: latency in ms, shares of captured frames, whole learning steps."""

    latency_ms: Percentiles
    max_ms: float
    missed: float
    dropped: float
    steps_per_s: float
    step_ms: float
    level: int


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """A budget's runs; `ratios` holds p50, p95 and p99 of adapting over frozen, a row for each pair."""

    budget: str
    frozen: LiveFigures
    adapting: LiveFigures
    ratios: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LiveRun:
    """What counts of one run."""

    latencies_ms: np.ndarray
    num_late: int
    num_dropped: int
    steps_ms: np.ndarray
    measured_s: float
    level: int


def capacity_fps(run_dir: Path) -> float:
    """Frames per second between the answers of a run at pace max."""
    times_s = _column(read_run(run_dir).rows("prediction"), "t_s")[WARMUP_FRAMES:]
    return float((len(times_s) - 1) / (times_s[-1] - times_s[0])) if len(times_s) > 1 else float("nan")


def figures(budget: str, frozen: Sequence[Path], adapting: Sequence[Path], *, fps: float) -> BudgetFigures:
    """Figures of run folders given in pairs."""
    pairs = [(read_live(one, fps=fps), read_live(two, fps=fps)) for one, two in zip(frozen, adapting, strict=True)]
    ratios = []
    for one, two in pairs:
        ours, theirs = Percentiles.of(two.latencies_ms), Percentiles.of(one.latencies_ms)
        ratios.append((ours.p50 / theirs.p50, ours.p95 / theirs.p95, ours.p99 / theirs.p99))
    return BudgetFigures(
        budget, pooled([one for one, _ in pairs]), pooled([two for _, two in pairs]), ratios=tuple(ratios)
    )


def read_live(run_dir: Path, *, fps: float) -> LiveRun:
    """A live run without its first seconds."""
    run = read_run(run_dir)
    first = WARMUP_S * fps
    predictions = [row for row in run.rows("prediction") if number(row.get("frame")) >= first]
    times_s = _column(predictions, "t_s")
    started_s, ended_s = (times_s[0], times_s[-1]) if len(times_s) else (0.0, 0.0)
    steps = [
        row
        for row in run.rows("adaptation_step")
        if row.get("outcome") in STEPS and started_s <= number(row.get("t_s")) <= ended_s
    ]
    latencies_ms = _column(predictions, "latency_ms")
    return LiveRun(
        latencies_ms=latencies_ms,
        num_late=int((latencies_ms > 1e3 / fps).sum()),
        num_dropped=sum(number(row.get("frame")) >= first for row in run.rows("frame_dropped")),
        steps_ms=_column(steps, "duration_ms"),
        measured_s=float(ended_s - started_s),
        level=max((int(number(row.get("level"))) for row in run.rows("governor_changed")), default=0),
    )


def pooled(runs: Sequence[LiveRun]) -> LiveFigures:
    """All frames of all runs together."""
    latencies_ms = np.concatenate([run.latencies_ms for run in runs])
    steps_ms = np.concatenate([run.steps_ms for run in runs])
    num_dropped = sum(run.num_dropped for run in runs)
    num_captured = max(1, latencies_ms.size + num_dropped)
    return LiveFigures(
        latency_ms=Percentiles.of(latencies_ms),
        max_ms=float(latencies_ms.max()) if latencies_ms.size else float("nan"),
        missed=(num_dropped + sum(run.num_late for run in runs)) / num_captured,
        dropped=num_dropped / num_captured,
        steps_per_s=steps_ms.size / max(1e-9, sum(run.measured_s for run in runs)),
        step_ms=float(np.median(steps_ms)) if steps_ms.size else float("nan"),
        level=max(run.level for run in runs),
    )


def setting_table(
    model: str, size: str, fps: float, capacities: Mapping[int, float], budgets: Sequence[BudgetFigures], *, method: str
) -> Table:
    """Two lines for each budget: frozen, and adapting by `method`."""
    known = ", ".join(f"{capacity:.1f} on {threads}" for threads, capacity in capacities.items())
    rows = []
    for budget in budgets:
        ratio = decimal(float(np.median([p99 for _, _, p99 in budget.ratios])), digits=2)
        rows.append(_line(f"{budget.budget} frozen", budget.frozen, ratio=UNKNOWN))
        rows.append(_line(f"{budget.budget} adapting", budget.adapting, ratio=ratio))
    return Table(
        title=f"{model} {size}, {named(method)}, at {fps:g} frames/s; frozen capacity by threads: {known}",
        header=(
            *("threads or mode", "p50 ms", "p95 ms", "p99 ms", "max ms", "missed %", "dropped %"),
            *("steps/s", "step ms", "level", "p99 ratio"),
        ),
        rows=tuple(rows),
        note=NOTE,
    )


def _line(name: str, live: LiveFigures, *, ratio: str) -> tuple[str, ...]:
    latency = live.latency_ms
    return (
        name,
        *(decimal(value) for value in (latency.p50, latency.p95, latency.p99, live.max_ms)),
        *(decimal(100 * share) for share in (live.missed, live.dropped)),
        decimal(live.steps_per_s, digits=2),
        decimal(live.step_ms),
        str(live.level),
        ratio,
    )


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([number(row.get(name)) for row in rows])
