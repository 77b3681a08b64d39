"""`udaseg-runtime compare`: the same stream and seeds for several methods, one table and one page.

    udaseg-runtime compare --stream rain_sequence --methods styled,dacs,frozen --seeds 0,1,2

Runs are lockstep, so speed does not enter the scores, and prequential: every prediction precedes learning from its
frame. Finished cells (method, seed) found in the output folder are not run again.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.options import check_names
from evaluation.compare import compare, fill_grid
from evaluation.comparison_tables import rich_table, write_comparison
from evaluation.oracle import Oracle
from evaluation.report import write_report
from evaluation.scoreboard import Scoreboard
from runtime.config import (
    AdaptationConfig,
    ConfigError,
    ModelConfig,
    ReplayConfig,
    RunConfig,
    RuntimeConfig,
    StreamConfig,
    WebConfig,
)
from runtime.session import run_session


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    """Run several methods on the same stream and compare their scores."""

    methods: str = "styled,dacs,frozen"
    """Methods, separated by commas."""
    seeds: str = "0"
    """Seeds, separated by commas; figures are means over them."""
    out: Path | None = None
    """Folder for runs and tables; runs/compare-<stream> by default. Finished cells in it are reused."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)

    def __post_init__(self) -> None:
        check_names("--methods", self.methods, Oracle().methods)
        if not all(seed.isdigit() for seed in self.seeds.split(",")):
            raise ConfigError(f"--seeds {self.seeds}: expected whole numbers and commas; for example --seeds 0,1,2")


def run_comparison(config: CompareConfig) -> Path:
    """Run the missing cells, print the table, write the page; returns the page's path."""
    folder = config.out or Path("runs") / f"compare-{Path(config.stream.stream).name}"
    methods, seeds = config.methods.split(","), [int(seed) for seed in config.seeds.split(",")]

    def run_one(method: str, seed: int) -> Path:
        run_dir, oracle = folder / f"{method}-{seed}", Oracle()
        run_session(
            _cell(config, method, seed, run_dir),
            make_scorer=Scoreboard,
            finish=_report,
            methods=oracle.methods,
            open_with=oracle.opener(method),
        )
        return run_dir

    known = [folder / f"{method}-{seed}" for method in methods for seed in seeds]
    finished = [run_dir for run_dir in known if (run_dir / "summary.json").exists()]
    comparison = compare(fill_grid(methods, seeds, run_one=run_one, known=finished))
    Console().print(rich_table(comparison))
    return write_comparison(comparison, folder)


def _cell(config: CompareConfig, method: str, seed: int, run_dir: Path) -> RuntimeConfig:
    return RuntimeConfig(
        stream=config.stream,
        model=config.model,
        adaptation=dataclasses.replace(AdaptationConfig(), method=method),
        replay=config.replay,
        run=RunConfig(pace="lockstep", seed=seed, run_dir=run_dir, quiet=True),
        web=WebConfig(web=False),
    )


def _report(run_dir: Path) -> None:
    write_report(run_dir)
