"""`udaseg-runtime compare`: the same stream and seeds for several methods, best first, as tables and a page.

    udaseg-runtime compare --stream rain_sequence --methods styled,dacs,frozen --seeds 0,1,2 --jobs 2

Runs are lockstep, so speed does not enter the scores, and prequential: every prediction precedes learning from its
frame; the frozen model answers every frame too. Each run is a process of its own; finished ones found in the output
folder are not run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from pathlib import Path

from rich.console import Console

from benchmarks.cells import Cell, Launch, code_note, plain_name, run_cells
from benchmarks.method_words import adaptation_of, method_of, model_of
from benchmarks.options import check_at_least, check_each_once, check_names, check_seeds, with_exam
from evaluation.compare import compare
from evaluation.comparison_tables import rich_tables, write_comparison
from evaluation.oracle import LOOKED_AT, Oracle
from runtime.config import ModelConfig, ReplayConfig, RunConfig, RuntimeConfig, StreamConfig, WebConfig
from runtime.option_words import parse_latency, require
from streams.stream import StreamOptions, open_stream

THREADS = 1  # of a run: its figures must not depend on how many run at once
RECORDED = "recorded"
GLANCE_HW = (32, 64)  # of frames that are only asked for their labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    """Run several methods on the same stream and compare their scores."""

    methods: str = "styled,dacs,frozen"
    """Methods, separated by commas, the oracle among them; with components as METHOD+NAME or METHOD+NAME=WEIGHT, with
    settings other than their own as METHOD@learning-rate=VALUE or @ema-decay=VALUE, and with what learns as
    METHOD@trainable=head or METHOD@adapter=lora@adapter-stages=3-4."""
    seeds: str = "0"
    """Seeds, separated by commas; figures are means over them."""
    latency: str | None = None
    """Play on a simulated clock: adds scores in which lateness counts. Answers and learning steps take so many ms, as
    P+S, as long as they take here (measured), or as they took in the same run without this option (recorded), which is
    made first if it is not there."""
    jobs: int = 1
    """Runs at a time, each on one thread."""
    out: Path | None = None
    """Folder for runs and tables; runs/compare-<stream> by default. Finished runs in it are used again."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)

    def __post_init__(self) -> None:
        check_each_once("--methods", self.methods, self.methods.split(","))
        for words in self.methods.split(","):
            check_names("--methods", method_of(words), Oracle().methods)
            adaptation_of(words)
            model_of(words, self.model)
        check_seeds(self.seeds)
        if self.latency is not None and self.latency != RECORDED:
            parse_latency(self.latency)
        check_at_least("--jobs", self.jobs, 1)


def run_comparison(config: CompareConfig) -> Path:
    """Run the missing cells, print the tables, write them; returns the page's path."""
    check_labelled(config.stream)
    folder = config.out or Path("runs") / f"compare-{plain_name(Path(config.stream.stream).name)}"
    launch = Launch(threads=THREADS)
    run_dirs = run_cells(cells(config), folder, jobs=config.jobs, launch=launch)
    if config.latency == RECORDED:
        run_dirs = run_cells(timed_by(run_dirs, cells(config)), folder, jobs=config.jobs, launch=launch)
    words = [words for words, _ in grid(config)]
    comparison = compare(run_dirs, names=dict(zip(run_dirs, words, strict=True)), note=code_note(run_dirs))
    Console().print(rich_tables(comparison))
    return write_comparison(comparison, folder)


def check_labelled(config: StreamConfig) -> None:
    """ConfigError where there is nothing to rank by: no label on the first frames. A camera, which cannot be played
    twice, is not even opened.
    """
    is_recorded, has_labels = not config.stream.startswith("camera:"), False
    if is_recorded:
        options = StreamOptions(
            size_HW=GLANCE_HW, dataset=config.dataset, data=config.data, frames_per_visit=config.frames_per_visit
        )
        stream = open_stream(config.stream, options)
        has_labels = any(frame.label_HW is not None for frame in islice(stream, LOOKED_AT))
        stream.close()
    require(
        has_labels,
        "--stream", config.stream, "a recorded stream with labels to rank methods by",
        "choose a preset or a labelled data set, or run one method on it, which needs none",
    )  # fmt: skip


def cells(config: CompareConfig) -> Sequence[Cell]:
    """One for each method and seed, methods outermost; of recorded times those that are to be recorded."""
    latency = None if config.latency == RECORDED else config.latency
    return [
        Cell(
            plain_name(f"{method}-{seed}"),
            RuntimeConfig(
                stream=config.stream,
                model=model_of(method, config.model),
                adaptation=adaptation_of(method),
                replay=with_exam(config.replay),
                run=RunConfig(pace="lockstep", seed=int(seed), latency=latency, quiet=True),
                web=WebConfig(web=False),
            ),
        )
        for method, seed in grid(config)
    ]


def grid(config: CompareConfig) -> list[tuple[str, str]]:
    """Methods in their words, and seeds, in the order of the cells."""
    return list(product(config.methods.split(","), config.seeds.split(",")))


def timed_by(run_dirs: Sequence[Path], cells: Sequence[Cell]) -> Sequence[Cell]:
    """The same cells on a simulated clock, each by the times in its own finished run."""
    return [
        replace(cell, config=replace(cell.config, run=replace(cell.config.run, latency=str(run_dir))))
        for cell, run_dir in zip(cells, run_dirs, strict=True)
    ]
