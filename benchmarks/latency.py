"""`udaseg-runtime bench latency`: what a frame waits while the model learns, against the frozen model's wait.

    udaseg-runtime bench latency --streams clear,rain_sequence --pairs 3 --cores 2

Whole live runs through the front door, page and metrics up, one at a time, in alternating pairs: frozen, adapting,
frozen, adapting. Both runs of a pair see the same street; ratios are within a pair, so a slow drift of the machine
cancels. On `clear` the question is what standing by costs; a stream with weather is where learning really happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.cells import Cell, Launch, run_cells
from benchmarks.conditions import Percentiles, compute_device, describe, usable_cores
from benchmarks.method_words import named
from benchmarks.options import check_above_zero, check_at_least, check_cores, check_learns
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from evaluation.run_folder import Row, lookup, number, read_run
from runtime.arguments import parse
from runtime.config import AdaptationConfig, ModelConfig, RunConfig, RuntimeConfig, StreamConfig, WebConfig
from runtime.option_words import parse_size
from streams.stream import StreamOptions, open_stream

FROZEN = "frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyConfig:
    """Measure live latency while adapting against the frozen model's."""

    streams: str = "clear,rain_sequence"
    """Streams, separated by commas, as --stream of a run takes them."""
    method: str = "styled"
    """The adaptation method held against frozen."""
    pairs: int = 3
    """Pairs of runs on each stream; the number of the pair is the seed of its street."""
    seconds: float = 40.0
    """Length of a run as the stream counts it."""
    fps: float | None = None
    """Frames per second; the stream's own by default."""
    size: str = "256x512"
    """HxW of frames."""
    checkpoint: str | None = None
    """Source checkpoint, a file or a shipped name; the shipped segformer_b0 by default."""
    model: str = "segformer_b0"
    """Architecture."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where runs compute."""
    cores: int = 2
    """Cores a run may use."""
    out: Path = Path("runs/bench-latency")
    """Folder for runs and tables; every call runs anew, in a folder of its own within."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_learns(self.method)
        check_at_least("--pairs", self.pairs, 1)
        check_above_zero("--seconds", self.seconds, remedy=40)
        check_cores(self.cores)
        parse_size(self.size)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class RunLatency:
    """One run: latency in ms of all its frames, drops, and what was learnt meanwhile."""

    method: str
    seed: int
    latency_ms: Percentiles
    max_ms: float
    inference_ms: Percentiles
    captured: int
    dropped: int
    steps: int
    step_ms: float


@dataclass(frozen=True, slots=True)
class StreamLatency:
    """All pairs on one stream. `pooled` holds the percentiles over all frames by method, `ratios` one row a pair."""

    stream: str
    runs: tuple[RunLatency, ...]
    pooled: dict[str, Percentiles]
    ratios: tuple[tuple[float, float, float], ...]  # p50, p95, p99


def main(arguments: Sequence[str]) -> int:
    """Run the pairs, print and write the tables."""
    config = parse(LatencyConfig, arguments, prog="udaseg-runtime bench latency")
    conditions = describe(compute_device(config.device).type, threads=config.cores)
    folder = config.out / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    launch = Launch(threads=None, cores=tuple(usable_cores()[: config.cores]))
    streams = config.streams.split(",")
    cells = [cell for stream in streams for cell in pair_cells(config, stream)]
    run_dirs = run_cells(cells, folder, jobs=1, launch=launch)
    per_stream = 2 * config.pairs
    rows = [
        stream_latency(stream, run_dirs[number * per_stream : (number + 1) * per_stream])
        for number, stream in enumerate(streams)
    ]
    result = Result(
        "latency",
        conditions,
        options=options_of(config) | {"weights": cells[0].weights_digest()},
        tables=tuple(table for row in rows for table in (latency_table(row), ratio_table(row))),
        data=rows,
    )
    publish(result, folder=folder, save=config.save)
    return 0


def pair_cells(config: LatencyConfig, stream: str) -> list[Cell]:
    """Frozen and adapting runs in turn, a pair on each seed."""
    fps = config.fps or open_stream(stream, StreamOptions(size_HW=parse_size(config.size))).fps
    played = StreamConfig(
        stream=stream, size=config.size, fps=config.fps, max_frames=max(1, round(config.seconds * fps))
    )
    return [
        Cell(
            f"{number}-{stream.replace('/', '_').replace(':', '_')}-{method}",
            RuntimeConfig(
                stream=played,
                model=ModelConfig(model=config.model, checkpoint=config.checkpoint, device=config.device),
                adaptation=AdaptationConfig(method=method),
                run=RunConfig(pace="live", seed=number, quiet=True),
                web=WebConfig(port=0),
            ),
        )
        for number in range(config.pairs)
        for method in (FROZEN, config.method)
    ]


def stream_latency(stream: str, run_dirs: Sequence[Path]) -> StreamLatency:
    """Figures of the runs of one stream, given in pairs of frozen and adapting."""
    runs: list[RunLatency] = []
    samples: dict[str, list[np.ndarray]] = {}
    for run_dir in run_dirs:
        run = read_run(run_dir)
        summary = run.summary or {}
        predictions = run.rows("prediction")
        latencies_ms = _column(predictions, "latency_ms")
        method = str(summary.get("method"))
        samples.setdefault(method, []).append(latencies_ms)
        runs.append(_run_latency(summary, latencies_ms, _column(predictions, "inference_ms")))
    return StreamLatency(
        stream=stream,
        runs=tuple(runs),
        pooled={method: Percentiles.of(np.concatenate(parts)) for method, parts in samples.items()},
        ratios=tuple(_ratios(frozen, adapting) for frozen, adapting in zip(runs[::2], runs[1::2], strict=True)),
    )


def latency_table(row: StreamLatency) -> Table:
    """Percentiles of both."""
    lines = []
    for method, pooled in row.pooled.items():
        of_method = [run for run in row.runs if run.method == method]
        captured = sum(run.captured for run in of_method)
        dropped = sum(run.dropped for run in of_method)
        steps = sum(run.steps for run in of_method)
        step_ms = [run.step_ms for run in of_method if run.step_ms == run.step_ms]
        lines.append(
            (
                named(method),
                *(decimal(value) for value in (pooled.p50, pooled.p95, pooled.p99)),
                decimal(max(run.max_ms for run in of_method)),
                f"{dropped} of {captured}",
                str(steps),
                decimal(float(np.median(step_ms))) if step_ms else "-",
            )
        )
    return Table(
        title=f"Live latency on {row.stream}, {len(row.ratios)} pairs",
        header=("run", "p50 ms", "p95 ms", "p99 ms", "max ms", "dropped", "steps", "step ms"),
        rows=tuple(lines),
        note="Capture to result, all frames of all runs together, the first ones included. In brackets the track, what "
        "a method needs besides the stream.",
    )


def ratio_table(row: StreamLatency) -> Table:
    """Adapting over frozen for each pair, and the median over pairs."""
    medians = np.median(np.array(row.ratios), axis=0).tolist()
    lines = [(f"pair {number}", ratios) for number, ratios in enumerate(row.ratios)] + [("median", medians)]
    return Table(
        title=f"Latency on {row.stream}: adapting over frozen",
        header=("percentile of a run over the other's", "p50", "p95", "p99"),
        rows=tuple((name, *(decimal(ratio, digits=2) for ratio in ratios)) for name, ratios in lines),
    )


def _run_latency(summary: Row, latencies_ms: np.ndarray, inferences_ms: np.ndarray) -> RunLatency:
    dropped: dict[str, int] = lookup(summary, "frames.dropped") or {}
    return RunLatency(
        method=str(summary.get("method")),
        seed=int(summary.get("seed", -1)),
        latency_ms=Percentiles.of(latencies_ms),
        max_ms=float(latencies_ms.max()) if latencies_ms.size else float("nan"),
        inference_ms=Percentiles.of(inferences_ms),
        captured=int(lookup(summary, "frames.captured") or 0),
        dropped=sum(dropped.values()),
        steps=int(lookup(summary, "adaptation.steps_applied") or 0),
        step_ms=number(lookup(summary, "adaptation.step_ms.p50")),
    )


def _ratios(frozen: RunLatency, adapting: RunLatency) -> tuple[float, float, float]:
    ours, theirs = adapting.latency_ms, frozen.latency_ms
    return ours.p50 / theirs.p50, ours.p95 / theirs.p95, ours.p99 / theirs.p99


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([number(row.get(name)) for row in rows])
