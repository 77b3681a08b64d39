"""`udaseg-runtime bench concurrency`: who computes when, and with how many threads, on a stream that leaves some slack.

    udaseg-runtime bench concurrency --models segformer_b0 --sizes 256x512 --pairs 3

For each model and size the frozen model's capacity comes first: frames per second at `--pace max`, by threads of
inference. Then live runs at a share of the least of these capacities (so that every budget can follow), on a recording
of rain, so that learning never rests: for each budget a frozen run and an adapting one right after it. Ratios are
within such a pair, so a slow drift of the machine cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from benchmarks.cells import Cell, Launch, run_cells
from benchmarks.concurrency_runs import BudgetFigures, capacity_fps, figures, setting_table
from benchmarks.conditions import describe, usable_cores
from benchmarks.footage import rain_recording, timing_checkpoint
from benchmarks.options import check_above_zero, check_at_least, check_cores, check_learns, check_names, default_cores
from benchmarks.results import Result, check_save_name, options_of, publish
from models.zoo import MODELS
from runtime.arguments import parse
from runtime.config import (
    AdaptationConfig,
    ModelConfig,
    ReplayConfig,
    RunConfig,
    RuntimeConfig,
    StreamConfig,
    WebConfig,
)
from runtime.option_words import ConfigError, parse_size, parse_threads
from runtime.rules import Adapt
from runtime.shift.calibration import MIN_SAMPLES

FROZEN = "frozen"
MODES: dict[str, Adapt] = {"gaps": "gaps", "inline": "inline"}  # in each prediction and learning take all cores in turn
NUM_REPLAYED = MIN_SAMPLES + MIN_SAMPLES // 2  # drawn anew for every run, so few
ENDLESS = 1_000_000  # learning steps granted


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyConfig:
    """Measure thread budgets and modes of learning beside prediction."""

    models: str = "segformer_b0,segformer_b1"
    """Architectures, separated by commas; random weights where none are shipped."""
    sizes: str = "256x512,512x1024"
    """Sizes HxW of frames, separated by commas."""
    budgets: str = "1+1,2+1,2+2,gaps"
    """Threads of inference and of learning as N+M, or the mode gaps or inline, which take all cores in turn."""
    method: str = "styled"
    """The adaptation method."""
    load: float = 0.8
    """Share of the frozen model's capacity that the stream asks for; above 0, at most 1."""
    pairs: int = 1
    """Pairs of a frozen and an adapting run for each budget."""
    seconds: float = 20.0
    """Length of a live run."""
    frames: int = 120
    """Frames of a live run at least, and of a measurement of capacity."""
    cores: int = field(default_factory=default_cores)
    """Cores a run may use; two by default where there are as many."""
    out: Path = Path("runs/bench-concurrency")
    """Folder for recordings, runs and tables; every call runs anew, in a folder of its own within."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--models", self.models, MODELS)
        check_learns(self.method)
        check_at_least("--pairs", self.pairs, 1)
        check_at_least("--frames", self.frames, 50)
        if not 0 < self.load <= 1:
            raise ConfigError(f"--load {self.load}: expected above 0, at most 1; try 0.8")
        check_above_zero("--seconds", self.seconds, remedy=20)
        check_cores(self.cores)
        for size in self.sizes.split(","):
            parse_size(size)
        for budget in self.budgets.split(","):
            if budget not in MODES:
                parse_threads(budget)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class Setting:
    """One model and size; `capacities` are the frozen model's frames per second by threads of inference."""

    model: str
    size: str
    fps: float
    capacities: dict[int, float]
    budgets: tuple[BudgetFigures, ...]


def main(arguments: Sequence[str]) -> int:
    """Run the grid, print and write the tables."""
    config = parse(ConcurrencyConfig, arguments, prog="udaseg-runtime bench concurrency")
    conditions = describe("cpu", threads=config.cores)
    folder = config.out / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    settings = [
        measured(config, model, size, folder)
        for model, size in product(config.models.split(","), config.sizes.split(","))
    ]
    tables = tuple(
        setting_table(s.model, s.size, s.fps, s.capacities, s.budgets, method=config.method) for s in settings
    )
    result = Result("concurrency", conditions, options=options_of(config), tables=tables, data=settings)
    publish(result, folder=folder, save=config.save)
    return 0


def measured(config: ConcurrencyConfig, model: str, size: str, folder: Path) -> Setting:
    """Capacity first, then every budget at a share of it."""
    launch = Launch(threads=None, cores=tuple(usable_cores()[: config.cores]))
    first_of = {inference_threads(budget, config.cores): budget for budget in reversed(config.budgets.split(","))}
    cells = [capacity_cell(config, model, size, budget) for budget in first_of.values()]
    run_dirs = run_cells(cells, folder, jobs=1, launch=launch)
    capacities = {threads: capacity_fps(run_dir) for threads, run_dir in zip(first_of, run_dirs, strict=True)}
    fps = round(config.load * min(capacities.values()), 2)
    run_dirs = run_cells(live_cells(config, model, size, fps), folder, jobs=1, launch=launch)
    budgets = config.budgets.split(",")
    by_budget = {budget: run_dirs[2 * number :: 2 * len(budgets)] for number, budget in enumerate(budgets)}
    adapting = {budget: run_dirs[2 * number + 1 :: 2 * len(budgets)] for number, budget in enumerate(budgets)}
    rows = tuple(figures(budget, by_budget[budget], adapting[budget], fps=fps) for budget in budgets)
    return Setting(model, size, fps, dict(sorted(capacities.items())), rows)


def inference_threads(budget: str, cores: int) -> int:
    """Threads that inference has under a budget."""
    return cores if budget in MODES else parse_threads(budget)[0]


def capacity_cell(config: ConcurrencyConfig, model: str, size: str, budget: str) -> Cell:
    """The frozen model as fast as it goes, in the same process settings."""
    run = run_config(config, model, size, budget, method=FROZEN, num_frames=config.frames, fps=None)
    return Cell(f"{model}-{size}-capacity-{budget}", run)


def live_cells(config: ConcurrencyConfig, model: str, size: str, fps: float) -> list[Cell]:
    """Frozen and adapting in turn, budget after budget, all budgets again for every further pair."""
    num_frames = max(config.frames, round(config.seconds * fps))
    return [
        Cell(
            f"{model}-{size}-{pair}-{budget}-{method}",
            run_config(config, model, size, budget, method=method, num_frames=num_frames, fps=fps, seed=pair),
        )
        for pair in range(config.pairs)
        for budget in config.budgets.split(",")
        for method in (FROZEN, config.method)
    ]


def run_config(
    config: ConcurrencyConfig,
    model: str,
    size: str,
    budget: str,
    *,
    method: str,
    num_frames: int,
    fps: float | None,
    seed: int = 0,
) -> RuntimeConfig:
    """A run on the recording; without `fps` as fast as it goes."""
    height, width = parse_size(size)
    recording = rain_recording(config.out / "footage", (height, width), num_frames=num_frames)
    sample_mb = (height * width * 4 + 1024) / 2**20
    return RuntimeConfig(
        stream=StreamConfig(stream=str(recording.resolve()), size=size, fps=fps, max_frames=num_frames),
        model=ModelConfig(model=model, checkpoint=timing_checkpoint(config.out / "footage", model)),
        adaptation=AdaptationConfig(method=method, budget=ENDLESS),
        replay=ReplayConfig(replay_mb=round(NUM_REPLAYED * sample_mb, 2)),
        run=RunConfig(
            pace="max" if fps is None else "live",
            adapt=MODES.get(budget, "thread"),
            threads=None if budget in MODES else budget,
            seed=seed,
            quiet=True,
        ),
        web=WebConfig(port=0),
    )
