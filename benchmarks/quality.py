"""`udaseg-runtime bench quality`: what adaptation wins and what it costs, visit by visit, over several seeds.

    udaseg-runtime bench quality --streams rain_sequence,clear --methods styled --seeds 0,1,2 --jobs 2
    udaseg-runtime bench quality --streams rain_sequence,dataset:camvid:test_dusk --dataset camvid \\
        --data path/to/camvid --checkpoint camvid_day.safetensors --size 180x240

Every run goes through the front door in lockstep, so speed does not enter the scores and a cell's scores do not
depend on `--jobs`. The frozen model answers every frame beside the adapted one: differences are within a run.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.cells import Cell, Launch, code_note, codes_of, plain_name, run_cells
from benchmarks.conditions import describe
from benchmarks.figures import QualityFigures, overview_table, quality_figures, visit_table
from benchmarks.options import check_at_least, check_each_once, check_names, check_seeds, with_exam
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table
from evaluation.oracle import ORACLE, Oracle
from runtime.arguments import parse
from runtime.config import RunConfig, RuntimeConfig, WebConfig
from runtime.config_file import load_toml
from streams.synthetic.sequences import PRESETS

THREADS = 1  # of a run: its figures must not depend on how many run at once


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """Score methods against the frozen model on streams, over seeds."""

    streams: str = "rain_sequence,clear"
    """Streams, separated by commas, as --stream of a run takes them."""
    methods: str = "styled"
    """Adaptation methods, separated by commas."""
    seeds: str = "0,1,2"
    """Seeds, separated by commas; figures are means over them."""
    dataset: str | None = None
    """LAYOUT or LAYOUT:SPLIT: render the presets' weather on these frames; other streams play as they are."""
    data: Path | None = None
    """Folder of the data set."""
    checkpoint: str | None = None
    """Source checkpoint, a file or a shipped name; the model's shipped one by default."""
    model: str | None = None
    """Architecture; segformer_b0 by default."""
    size: str | None = None
    """HxW of frames; the source model's training size by default."""
    max_frames: int | None = None
    """Stop every run after so many frames."""
    settings: Path | None = None
    """TOML file with further settings of the runs, like a run folder's config.toml; options here win."""
    jobs: int = 1
    """Runs at a time, each on one thread."""
    out: Path = Path("runs/bench-quality")
    """Folder for runs and tables; finished runs in it are used again."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--methods", self.methods, Oracle().methods)
        check_each_once("--streams", self.streams, self.streams.split(","))
        check_seeds(self.seeds)
        check_at_least("--jobs", self.jobs, 1)
        check_save_name(self.save)


def main(arguments: Sequence[str]) -> int:
    """Run what is missing, print and write the tables."""
    config = parse(QualityConfig, arguments, prog="udaseg-runtime bench quality")
    conditions = describe("cpu", threads=THREADS)
    grid = list(product(config.streams.split(","), config.methods.split(",")))
    cells = [cell(config, stream, method, int(seed)) for stream, method in grid for seed in config.seeds.split(",")]
    run_dirs = run_cells(cells, config.out, jobs=config.jobs, launch=Launch(threads=THREADS))
    per_row = len(config.seeds.split(","))
    by_row = {pair: run_dirs[row * per_row : (row + 1) * per_row] for row, pair in enumerate(grid)}
    rows = [
        quality_figures(_shown(config, stream), of_method, ceiling=by_row.get((stream, ORACLE), ()))
        for (stream, _), of_method in by_row.items()
    ]
    result = Result(
        "quality",
        dataclasses.replace(conditions, code=" and ".join(codes_of(run_dirs))),
        options=options_of(config) | {"weights": cells[0].weights_digest()},
        tables=tables(rows, remark=code_note(run_dirs)),
        data=rows,
    )
    publish(result, folder=config.out, save=config.save)
    return 0


def cell(config: QualityConfig, stream: str, method: str, seed: int) -> Cell:
    """One run of the grid: lockstep, quiet, without the page."""
    base = RuntimeConfig() if config.settings is None else load_toml(config.settings)
    played = dataclasses.replace(
        base.stream,
        stream=stream,
        dataset=config.dataset if stream in PRESETS else None,
        data=config.data or base.stream.data,
        size=config.size or base.stream.size,
        max_frames=config.max_frames or base.stream.max_frames,
    )
    model = dataclasses.replace(
        base.model, model=config.model or base.model.model, checkpoint=config.checkpoint or base.model.checkpoint
    )
    name = plain_name(f"{stream}-{method}-{seed}")
    return Cell(
        name,
        RuntimeConfig(
            stream=played,
            model=model,
            adaptation=dataclasses.replace(base.adaptation, method=method),
            replay=with_exam(base.replay),
            run=RunConfig(pace="lockstep", seed=seed, shadow=1.0, quiet=True),
            web=WebConfig(web=False),
        ),
    )


def tables(rows: Sequence[QualityFigures], *, remark: str = "") -> tuple[Table, ...]:
    """The overview, with a remark on the runs below it, then each row's visits."""
    return (overview_table(rows).with_note(remark), *(visit_table(row) for row in rows if row.visits))


def _shown(config: QualityConfig, stream: str) -> str:
    return f"{stream} on {config.dataset}" if config.dataset and stream in PRESETS else stream
