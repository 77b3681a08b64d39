"""`udaseg-runtime bench overload`: how old frames get when they come three times faster than inference can answer.

    udaseg-runtime bench overload --factor 3 --seconds 60 --runs 3

First the capacity: one frozen run at the stream's own rate tells how long an inference takes on these cores. Then
whole live runs at `factor` times that many frames per second, learning on, page and metrics up. The promise is that no
frame older than max(2 periods, 150 ms) is predicted; that no answer is older than that either, where an inference and a
period fit into it; and that learning is what gives way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.cells import Cell, Launch, run_cells
from benchmarks.conditions import Percentiles, describe, usable_cores
from benchmarks.method_words import named
from benchmarks.options import check_above_zero, check_at_least, check_cores, check_learns, default_cores
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from evaluation.run_folder import lookup, number, read_run
from runtime.arguments import parse
from runtime.config import AdaptationConfig, ModelConfig, RunConfig, RuntimeConfig, StreamConfig, WebConfig
from runtime.intake import SURE_SHARE
from runtime.option_words import parse_size
from runtime.rules import max_age_s

CAPACITY_FRAMES = 100
ROUNDING_MS = 0.002  # times in a run's record are rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadConfig:
    """Measure the age of frames under overload."""

    stream: str = "rain_sequence"
    """A stream with weather, so that there is something to learn, as --stream of a run takes it."""
    method: str = "styled"
    """The adaptation method."""
    factor: float = 3.0
    """Frames that come for every one that inference alone could answer."""
    runs: int = 3
    """Runs; the number of the run is the seed of its street."""
    seconds: float = 60.0
    """Length of a run."""
    size: str = "256x512"
    """HxW of frames."""
    model: str = "segformer_b0"
    """Architecture."""
    checkpoint: str | None = None
    """Source checkpoint, a file or a shipped name; the model's shipped one by default."""
    cores: int = field(default_factory=default_cores)
    """Cores a run may use; two by default where there are as many."""
    out: Path = Path("runs/bench-overload")
    """Folder for runs and tables; every call runs anew, in a folder of its own within."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_learns(self.method)
        check_at_least("--runs", self.runs, 1)
        check_above_zero("--factor", self.factor, remedy=3)
        check_above_zero("--seconds", self.seconds, remedy=60)
        check_cores(self.cores)
        parse_size(self.size)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class Overload:
    """One run. Ages in ms: at start of inference and, as `latency_ms`, at the result. `levels` by frames answered.

    `too_old` frames were older than the limit at the start, `overdue` ones at the result; `fits` where a period and as
    much as nine in ten inferences take fit into the limit.
    """

    seed: int
    fps: float
    limit_ms: float
    age_ms: Percentiles
    max_age_ms: float
    latency_ms: Percentiles
    max_latency_ms: float
    fits: bool
    captured: int
    predicted: int
    dropped: dict[str, int]
    too_old: int
    overdue: int
    steps: int
    levels: dict[str, int]


def main(arguments: Sequence[str]) -> int:
    """Measure capacity, run, print and write the table."""
    config = parse(OverloadConfig, arguments, prog="udaseg-runtime bench overload")
    conditions = describe("cpu", threads=config.cores)
    folder = config.out / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    launch = Launch(threads=None, cores=tuple(usable_cores()[: config.cores]))
    (alone,) = run_cells([capacity_cell(config)], folder, jobs=1, launch=launch)
    capacity_fps = capacity_of(alone)
    cells = overload_cells(config, capacity_fps)
    rows = [overload_of(run_dir) for run_dir in run_cells(cells, folder, jobs=1, launch=launch)]
    result = Result(
        "overload",
        conditions,
        options=options_of(config) | {"weights": cells[0].weights_digest(), "capacity_fps": round(capacity_fps, 2)},
        tables=(overload_table(rows, config, capacity_fps),),
        data=rows,
    )
    publish(result, folder=folder, save=config.save)
    return 0


def capacity_cell(config: OverloadConfig) -> Cell:
    """The frozen model alone, lossless."""
    played = StreamConfig(stream=config.stream, size=config.size, max_frames=CAPACITY_FRAMES)
    return Cell("capacity", replace(_run(config, played, seed=0), run=RunConfig(pace="max", shadow=0.0, quiet=True)))


def overload_cells(config: OverloadConfig, capacity_fps: float) -> list[Cell]:
    """Live runs at `factor` times the capacity."""
    fps = config.factor * capacity_fps
    played = StreamConfig(
        stream=config.stream, size=config.size, fps=fps, max_frames=max(1, round(config.seconds * fps))
    )
    return [Cell(f"{seed}-overload", _run(config, played, seed=seed)) for seed in range(config.runs)]


def capacity_of(run_dir: Path) -> float:
    """Frames per second that inference answers when nothing else is done: one over the median inference."""
    inference_ms = number(lookup(read_run(run_dir).summary or {}, "latency_ms.inference.p50"))
    return 1e3 / inference_ms


def overload_of(run_dir: Path) -> Overload:
    """Figures of one run, from its events."""
    run = read_run(run_dir)
    summary, predictions = run.summary or {}, run.rows("prediction")
    latency_ms = np.array([number(row.get("latency_ms")) for row in predictions])
    inference_ms = np.array([number(row.get("inference_ms")) for row in predictions])
    age_ms = latency_ms - inference_ms
    fps = number(lookup(summary, "fps.stream"))
    limit_ms = 1e3 * max_age_s(fps)
    levels: dict[str, dict[str, float]] = lookup(summary, "adaptation.levels") or {}
    return Overload(
        seed=int(summary.get("seed", -1)),
        fps=fps,
        limit_ms=limit_ms,
        age_ms=Percentiles.of(age_ms),
        max_age_ms=float(age_ms.max()) if age_ms.size else float("nan"),
        latency_ms=Percentiles.of(latency_ms),
        max_latency_ms=float(latency_ms.max()) if latency_ms.size else float("nan"),
        fits=bool(inference_ms.size) and 1e3 / fps + float(np.quantile(inference_ms, SURE_SHARE)) <= limit_ms,
        captured=int(lookup(summary, "frames.captured") or 0),
        predicted=len(predictions),
        dropped={**(lookup(summary, "frames.dropped") or {})},
        too_old=int((age_ms > limit_ms + ROUNDING_MS).sum()),
        overdue=int((latency_ms > limit_ms + ROUNDING_MS).sum()),
        steps=int(lookup(summary, "adaptation.steps_applied") or 0),
        levels={name: int(level["frames"]) for name, level in levels.items()},
    )


def overload_table(rows: Sequence[Overload], config: OverloadConfig, capacity_fps: float) -> Table:
    """One line a run."""
    rate = f"{decimal(config.factor)} times the capacity of {decimal(capacity_fps)} frames per second"
    return Table(
        title=f"Frames at {rate}, learning by {named(config.method)}",
        header=(
            *("run", "fps", "limit ms", "age p50 ms", "age p99 ms", "age max ms", "too old"),
            *("result p99 ms", "result max ms", "too old then", "room for it", "predicted", "dropped", "steps"),
            "frames by level",
        ),
        rows=tuple(
            (
                str(row.seed),
                decimal(row.fps),
                *(decimal(value) for value in (row.limit_ms, row.age_ms.p50, row.age_ms.p99, row.max_age_ms)),
                str(row.too_old),
                *(decimal(value) for value in (row.latency_ms.p99, row.max_latency_ms)),
                *(str(row.overdue), "yes" if row.fits else "no"),
                f"{row.predicted} of {row.captured}",
                ", ".join(f"{number} {reason}" for reason, number in row.dropped.items()) or "0",
                str(row.steps),
                ", ".join(f"{frames} {name}" for name, frames in row.levels.items()),
            )
            for row in rows
        ),
        note="Age: since capture, as inference starts; limit: max(2 periods, 150 ms). Result: capture to result; held "
        "to the limit where there is room for it: where a period and as much as nine in ten inferences take fit in. "
        "Dropped: stale (a newer frame came, or it was too old to begin with), late (its answer came out too old).",
    )


def _run(config: OverloadConfig, played: StreamConfig, *, seed: int) -> RuntimeConfig:
    return RuntimeConfig(
        stream=played,
        model=ModelConfig(model=config.model, checkpoint=config.checkpoint),
        adaptation=AdaptationConfig(method=config.method),
        run=RunConfig(pace="live", seed=seed, quiet=True),
        web=WebConfig(port=0),
    )
