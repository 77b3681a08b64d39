"""`udaseg-runtime bench soak`: does a run that goes on and on grow, slow down, or lose hold of anything?

    udaseg-runtime bench soak --minutes 20                               # ten times the frames, visits and shifts
    udaseg-runtime bench soak --minutes 20 --speed-up 1 --adapt thread   # learning steps by the thousand

Both are needed where a machine is too slow to learn at ten times the rate: there the governor sheds all learning.
One live run through the front door, page and metrics up and looked at, on a stream at many times its rate, played over
and over. Its process is watched from outside. Growth is measured after a warm-up, in which caches fill and allocators
find their size.
"""

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from benchmarks.cells import Cell, CellFailed, Launch, failure
from benchmarks.conditions import describe, usable_cores
from benchmarks.options import check_above_zero, check_cores, default_cores
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.soak_verdict import course_table, judge, verdict_table
from benchmarks.watched import END_S, Sample, ask_all, await_url, log_of, take_sample, watched_run
from runtime.adaptation.methods import METHODS
from runtime.arguments import parse
from runtime.config import AdaptationConfig, ModelConfig, RunConfig, RuntimeConfig, StreamConfig, WebConfig
from runtime.option_words import ConfigError, nearest, parse_size
from streams.stream import StreamOptions, open_stream


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


def main(arguments: Sequence[str]) -> int:
    """Run, watch, judge; print and write the tables. 0 also where a bound is broken: the table says so."""
    config = parse(SoakConfig, arguments, prog="udaseg-runtime bench soak")
    conditions = describe("cpu", threads=config.cores)
    folder = config.out / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    cell, run_dir = soak_cell(config), folder / "run"
    samples, series = soak(cell, run_dir, config)
    result = judge(samples, series, run_dir, minutes=config.minutes, warmup=config.warmup)
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
            if (code := process.poll()) is not None:
                raise failure(code, cell, log_of(run_dir))
            raise CellFailed(f"{cell.name} shows no page; see {log_of(run_dir)}")
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
            raise CellFailed(f"{cell.name} did not end in {END_S:g} s; see {log_of(run_dir)}") from None
        if code != 0:
            raise failure(code, cell, log_of(run_dir))
    return samples, series
