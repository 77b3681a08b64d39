"""`udaseg-runtime bench soak`: does a run that goes on and on grow, slow down, or lose hold of anything?

    udaseg-runtime bench soak --minutes 20                               # ten times the frames, visits and shifts
    udaseg-runtime bench soak --minutes 20 --speed-up 1 --adapt thread   # learning steps by the thousand

Both are needed where a machine is too slow to learn at ten times the rate: there the governor sheds all learning.
One live run through the front door, page and metrics up and looked at, on a stream at many times its rate, played over
and over. Its process is watched from outside. Growth is measured after a warm-up, in which caches fill and allocators
find their size.
"""

import itertools
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.cells import Cell, Launch, failure
from benchmarks.conditions import Percentiles, describe, usable_cores
from benchmarks.options import check_above_zero, check_cores, default_cores
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from benchmarks.trend import Trend
from benchmarks.watched import END_S, Sample, ask_all, await_url, log_of, take_sample, watched_run
from evaluation.run_folder import Row, lookup, number, read_summary
from runtime.adaptation.methods import METHODS
from runtime.arguments import parse
from runtime.config import (
    AdaptationConfig,
    ConfigError,
    ModelConfig,
    RunConfig,
    RuntimeConfig,
    StreamConfig,
    WebConfig,
    nearest,
    parse_size,
)
from streams.stream import StreamOptions, open_stream

WINDOW_S = 30.0  # memory is judged by medians of so long
MAX_SLOPE_MB_PER_H = 1.0
MAX_P99_RATIO = 1.1
LEAST_FRAMES = 100  # in a tenth, for its p99 to be more than its maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakConfig:
    """Run for long and see what grows."""

    minutes: float = 20.0
    """Length of the run, warm-up included."""
    warmup: float = 5.0
    """Minutes at the start that do not count."""
    every: float = 5.0
    """Seconds between two looks at the process, its page and its metrics."""
    stream: str = "rain_sequence"
    """A stream that has an end, as --stream of a run takes it; played over and over."""
    speed_up: float = 10.0
    """Times the stream's own rate."""
    size: str = "128x256"
    """HxW of frames."""
    method: str = "styled"
    """Adaptation method."""
    adapt: Literal["thread", "gaps", "inline", "off"] = "gaps"
    """When learning computes, as --adapt of a run."""
    checkpoint: str | None = None
    """Source checkpoint, a file or a shipped name; the shipped segformer_b0 by default."""
    model: str = "segformer_b0"
    """Architecture."""
    cores: int = field(default_factory=default_cores)
    """Cores the run may use; two by default where there are as many."""
    out: Path = Path("runs/bench-soak")
    """Folder for the run and its tables; every call runs anew, in a folder of its own within."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"--method {self.method}: no such method; {nearest(self.method, list(METHODS))}")
        if not 0 <= self.warmup < self.minutes:
            raise ConfigError(f"--warmup {self.warmup}: expected 0 to less than --minutes {self.minutes}; try 5")
        check_above_zero("--every", self.every, remedy=5)
        check_above_zero("--speed-up", self.speed_up, remedy=10)
        check_cores(self.cores)
        parse_size(self.size)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class Soak:
    """What was found after the warm-up; `tenths` are latencies in ms of ten equal stretches of time."""

    minutes: float
    warmup: float
    rss: Trend
    anonymous: Trend
    rss_mb: tuple[float, float]
    threads: tuple[int, ...]
    descriptors: tuple[int, ...]
    series: tuple[int, ...]
    tenths: tuple[Percentiles, ...]
    captured: int
    predicted: int
    visits: int
    shifts: int
    steps: int
    versions: int
    samples: tuple[Sample, ...]

    @property
    def p99_ratio(self) -> float:
        """Last tenth over first; nan where either has too few frames."""
        first, last = self.tenths[0], self.tenths[-1]
        return last.p99 / first.p99 if min(first.num, last.num) >= LEAST_FRAMES else float("nan")


def main(arguments: Sequence[str]) -> int:
    """Run, watch, judge; print and write the tables. 0 also where a bound is broken: the table says so."""
    config = parse(SoakConfig, arguments, prog="udaseg-runtime bench soak")
    conditions = describe("cpu", threads=config.cores)
    folder = config.out / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    cell, run_dir = soak_cell(config), folder / "run"
    samples, series = soak(cell, run_dir, config)
    result = judge(config, samples, series, run_dir)
    publish(
        Result(
            "soak",
            conditions,
            options=options_of(config) | {"weights": cell.weights_digest()},
            tables=(verdict_table(result), course_table(result)),
            data=result,
        ),
        folder=folder,
        save=config.save,
    )
    return 0


def soak_cell(config: SoakConfig) -> Cell:
    """A live run that would go on for longer than it is let."""
    size_HW = parse_size(config.size)
    stream = open_stream(config.stream, StreamOptions(size_HW=size_HW, rounds=2))
    fps, num_frames = config.speed_up * stream.fps, (stream.num_frames or 2) // 2
    stream.close()
    rounds = 2 + int(config.minutes * 60 * fps / num_frames)
    return Cell(
        f"soak-{config.method}",
        RuntimeConfig(
            stream=StreamConfig(stream=config.stream, size=config.size, fps=fps, rounds=rounds),
            model=ModelConfig(model=config.model, checkpoint=config.checkpoint),
            adaptation=AdaptationConfig(method=config.method),
            run=RunConfig(pace="live", adapt=config.adapt),
            web=WebConfig(port=0),
        ),
    )


def soak(cell: Cell, run_dir: Path, config: SoakConfig) -> tuple[list[Sample], list[int]]:
    """Samples of the process and the number of time series at each of them.

    Raises what a run that ends by itself stands for, see `cells.FAILURES`.
    """
    launch = Launch(threads=None, cores=tuple(usable_cores()[: config.cores]))
    samples: list[Sample] = []
    series: list[int] = []
    with watched_run(cell, run_dir, launch=launch) as process:
        url = await_url(process, log_of(run_dir))
        if url is None:
            raise failure(process.poll() or -1, cell, log_of(run_dir))
        started_s = time.monotonic()
        while (at_s := time.monotonic() - started_s) < config.minutes * 60:
            if process.poll() is not None:
                raise failure(process.returncode, cell, log_of(run_dir))
            samples.append(take_sample(process.pid, at_s=at_s))
            series.append(ask_all(url))
            next_s = started_s + (len(samples) * config.every)
            time.sleep(max(0.0, next_s - time.monotonic()))
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        if code != 0:
            raise failure(code, cell, log_of(run_dir))
    return samples, series


def judge(config: SoakConfig, samples: Sequence[Sample], series: Sequence[int], run_dir: Path) -> Soak:
    """The figures of a finished run."""
    counted = [sample for sample in samples if sample.at_s >= config.warmup * 60]
    times_s = np.array([sample.at_s for sample in counted])
    rss_mb, anonymous_mb = (
        np.array([getattr(sample, name) for sample in counted]) for name in ("rss_mb", "anonymous_mb")
    )
    summary = read_summary(run_dir) or {}
    return Soak(
        minutes=config.minutes,
        warmup=config.warmup,
        rss=Trend.of(times_s, rss_mb, window_s=WINDOW_S),
        anonymous=Trend.of(times_s, anonymous_mb, window_s=WINDOW_S),
        rss_mb=(float(rss_mb[0]), float(rss_mb[-1])),
        threads=tuple(sample.threads for sample in counted),
        descriptors=tuple(sample.descriptors for sample in counted),
        series=tuple(series[len(samples) - len(counted) :]),
        tenths=tenths(*latencies(run_dir), warmup_s=config.warmup * 60),
        captured=_count(summary, "frames.captured"),
        predicted=_count(summary, "frames.predicted"),
        visits=_count((lookup(summary, "quality.domains") or [{}])[-1], "visit") + 1,
        shifts=_count(summary, "num_shifts"),
        steps=_count(summary, "adaptation.steps_applied"),
        versions=_count(summary, "adaptation.last_version"),
        samples=tuple(samples),
    )


def latencies(run_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Time since the start in s and latency in ms of every prediction, read line by line."""
    rows = np.array(list(_predictions(run_dir / "events.jsonl"))).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def tenths(times_s: np.ndarray, latencies_ms: np.ndarray, *, warmup_s: float) -> tuple[Percentiles, ...]:
    """Percentiles of ten equal stretches of the time after the warm-up."""
    last_s = float(times_s.max(initial=warmup_s))
    edges_s = np.linspace(warmup_s, np.nextafter(last_s, np.inf), 11)
    pairs = itertools.pairwise(edges_s)
    return tuple(Percentiles.of(latencies_ms[(times_s >= low) & (times_s < high)]) for low, high in pairs)


def is_constant(counts: Sequence[int]) -> bool:
    """Whether a count ends as it began: by medians of thirds, as a page just being served holds a few more."""
    third = max(1, len(counts) // 3)
    return float(np.median(counts[:third])) == float(np.median(counts[-third:]))


def verdict_table(soak: Soak) -> Table:
    """Each figure, its bound, and whether it holds."""
    rows = [
        (
            "memory, MB/h",
            f"{decimal(soak.rss.slope_per_h, digits=2, is_signed=True)} "
            f"({decimal(soak.rss.low_per_h, digits=2)} to {decimal(soak.rss.high_per_h, digits=2)})",
            f"< {MAX_SLOPE_MB_PER_H:g}",
            _verdict(soak.rss.slope_per_h < MAX_SLOPE_MB_PER_H),
        ),
        ("threads", _range(soak.threads), "constant", _verdict(is_constant(soak.threads))),
        ("descriptors", _range(soak.descriptors), "constant", _verdict(is_constant(soak.descriptors))),
        ("time series in /metrics", _range(soak.series), "constant", _verdict(len(set(soak.series)) == 1)),
        (
            "p99 of the last tenth over the first",
            decimal(soak.p99_ratio, digits=2),
            f"<= {MAX_P99_RATIO:g}",
            _verdict(soak.p99_ratio <= MAX_P99_RATIO),
        ),
    ]
    measured_min = soak.minutes - soak.warmup
    return Table(
        title=f"Soak: {soak.minutes:g} minutes, of which the first {soak.warmup:g} do not count",
        header=("what", "found", "bound", "holds"),
        rows=tuple(rows),
        note=f"Memory is resident memory as the kernel counts it, {decimal(soak.rss_mb[0])} MB when counting began and "
        f"{decimal(soak.rss_mb[1])} MB at the end; its slope is Theil and Sen's over {soak.rss.num} medians of "
        f"{WINDOW_S:g} s in {measured_min:g} minutes, with its 95 % interval. Not backed by files: "
        f"{decimal(soak.anonymous.slope_per_h, digits=2, is_signed=True)} MB/h. The run saw {soak.captured} frames, "
        f"answered {soak.predicted}, and took {soak.steps} learning steps in {soak.visits} visits with {soak.shifts} "
        f"detected shifts; its last version was {soak.versions}. Threads, descriptors and series: least to most.",
    )


def course_table(soak: Soak) -> Table:
    """Latency by tenths of the time."""
    return Table(
        title="Capture to result by tenths of the time that counts",
        header=("tenth", "frames", "p50 ms", "p95 ms", "p99 ms"),
        rows=tuple(
            (str(position), str(tenth.num), *(decimal(value) for value in (tenth.p50, tenth.p95, tenth.p99)))
            for position, tenth in enumerate(soak.tenths, start=1)
        ),
    )


def _predictions(path: Path) -> Iterator[tuple[float, float]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"prediction"' in line:
                row = json.loads(line)
                yield number(row.get("t_s")), number(row.get("latency_ms"))


def _count(row: Row, path: str) -> int:
    return int(lookup(row, path) or 0)


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else str(counts[0])


def _verdict(holds: bool) -> str:
    return "yes" if holds else "NO"
