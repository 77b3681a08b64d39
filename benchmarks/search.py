"""`udaseg-runtime bench search`: settings for published methods, sought on short streams of seeds kept for tuning.

    udaseg-runtime bench search --save search
    udaseg-runtime compare --stream rain_sequence --methods tent,tent@learning-rate=0.00012,styled

Methods come with the settings of their papers, found on other networks and far longer streams. Here each gets as many
trials as any other: its published settings, then rates `--factor` apart, upwards as long as that helps, else downwards,
else by smaller steps, then, at the best rate, another decay of the average that serves. What has the highest mean hmean
over the streams is chosen; it stands beside the published row in `compare`, in the same words. Trials are lockstep runs
through the front door; finished ones are used again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmarks.cells import Cell, Launch, code_note, codes_of, plain_name, run_cells
from benchmarks.conditions import describe
from benchmarks.method_words import adaptation_of, named, with_setting
from benchmarks.options import check_at_least, check_names, check_seeds
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from evaluation.run_folder import lookup, number, read_summary
from runtime.adaptation.methods import METHODS
from runtime.arguments import parse
from runtime.config import ModelConfig, ReplayConfig, RunConfig, RuntimeConfig, StreamConfig, WebConfig
from runtime.option_words import ConfigError
from streams.synthetic.sequences import PRESETS

THREADS = 1  # of a run: its figures must not depend on how many run at once
FROZEN = "frozen"
NOTE = (
    "hmean in points over the visits of each stream; chosen by the mean over streams, the published settings where "
    "nothing is better. cotta14 shares cotta's settings and hamlet_released hamlet's, from which they differ in labels "
    "and arithmetic; bn has no gradient and nothing to choose here. In brackets the track, what a method needs besides "
    "the stream."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """Choose settings of methods on short synthetic streams."""

    methods: str = "tent,eata,sar,rotta,roid,cotta,dacs,hamlet,onda"
    """Methods, separated by commas."""
    streams: str = "rain_sequence,night_sequence"
    """Synthetic presets, separated by commas."""
    seeds: str = "10"
    """Seeds, separated by commas; none that anything is measured on."""
    factor: float = 4.0
    """What a learning rate is multiplied or divided by."""
    rates: int = 3
    """Learning rates tried besides the published one."""
    ema_decay: float = 0.9
    """Decay of the average that serves, tried at the best rate; published are 0 (no average) and 0.999."""
    frames_per_visit: int = 8
    """Frames of a usual visit."""
    size: str = "128x256"
    """HxW of frames."""
    checkpoint: str | None = None
    """Source checkpoint, a file or a shipped name; segformer_b0's shipped one by default."""
    replay_mb: float = 4.0
    """Bound of the replay in MiB."""
    jobs: int = 1
    """Runs at a time, each on one thread."""
    out: Path = Path("runs/bench-search")
    """Folder for runs and tables; finished runs in it are used again."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--methods", self.methods, [name for name, entry in METHODS.items() if entry.build is not None])
        check_names("--streams", self.streams, PRESETS)
        check_seeds(self.seeds)
        if self.factor <= 1:
            raise ConfigError(f"--factor {self.factor:g}: expected above 1; try 4")
        check_at_least("--rates", self.rates, 1)
        check_at_least("--jobs", self.jobs, 1)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class Trial:
    """A method in the words of `compare`, the settings that hold in it, and its hmean in points by stream."""

    words: str
    method: str
    learning_rate: float
    ema_decay: float
    hmeans: Mapping[str, float]

    @property
    def score(self) -> float:
        """Mean over streams; nan where one is unknown."""
        return fmean(self.hmeans.values())


def main(arguments: Sequence[str]) -> int:
    """Run what is missing, print and write the table."""
    config = parse(SearchConfig, arguments, prog="udaseg-runtime bench search")
    conditions = describe("cpu", threads=THREADS)
    frozen = tried(config, [FROZEN])
    found = {method: searched(config, method) for method in config.methods.split(",")}
    trials = [*frozen, *(trial for of_method in found.values() for trial in of_method)]
    chosen = [best(of_method).words for of_method in found.values()]
    run_dirs = [config.out / one.folder_name() for one in cells(config, [trial.words for trial in trials]).values()]
    table = trials_table(trials, chosen=chosen, streams=config.streams.split(",")).with_note(code_note(run_dirs))
    conditions = replace(conditions, code=" and ".join(codes_of(run_dirs)))
    result = Result("search", conditions, options=options_of(config), tables=(table,), data=trials)
    publish(result, folder=config.out, save=config.save)
    print(f"for compare: --methods {','.join(chosen)}")
    return 0


def searched(config: SearchConfig, method: str) -> list[Trial]:
    """The published settings first, other rates in the order tried, then the average at the best rate."""
    published = METHODS[method].recipe.learning_rate
    trials, rate, factor = tried(config, [method]), published, config.factor
    for _ in range(config.rates):
        trials += tried(config, [with_setting(method, "learning-rate", rate * factor)])
        if best(trials) is trials[-1]:
            rate *= factor
        else:
            factor = 1 / factor if rate == published and factor > 1 else factor**0.5
    return [*trials, *tried(config, [with_setting(best(trials).words, "ema-decay", config.ema_decay)])]


def best(trials: Sequence[Trial]) -> Trial:
    """The first of those with the highest score; the first of all where none is known."""
    return max(trials, key=lambda trial: trial.score if trial.score == trial.score else float("-inf"))


def tried(config: SearchConfig, all_words: Sequence[str]) -> list[Trial]:
    """Run the methods on every stream and seed."""
    grid = cells(config, all_words)
    run_dirs = run_cells(list(grid.values()), config.out, jobs=config.jobs, launch=Launch(threads=THREADS))
    hmeans = {key: number(lookup(read_summary(run), "quality.hmean")) for key, run in zip(grid, run_dirs, strict=True)}
    streams, seeds = config.streams.split(","), config.seeds.split(",")
    return [
        trial(words, {stream: fmean(hmeans[words, stream, seed] for seed in seeds) for stream in streams})
        for words in all_words
    ]


def cells(config: SearchConfig, all_words: Sequence[str]) -> dict[tuple[str, str, str], Cell]:
    """By method in its words, stream and seed."""
    grid = product(all_words, config.streams.split(","), config.seeds.split(","))
    return {(words, stream, seed): cell(config, words, stream, int(seed)) for words, stream, seed in grid}


def trial(words: str, hmeans: Mapping[str, float]) -> Trial:
    """With what the recipe says where the words do not."""
    given = adaptation_of(words)
    recipe = METHODS[given.method].recipe
    return Trial(
        words=words,
        method=given.method,
        learning_rate=given.learning_rate or recipe.learning_rate,
        ema_decay=recipe.ema_decay if given.ema_decay is None else given.ema_decay,
        hmeans=hmeans,
    )


def cell(config: SearchConfig, words: str, stream: str, seed: int) -> Cell:
    """One run: lockstep, without the page, and without the frozen model, which has no part in the choice."""
    return Cell(
        plain_name(f"{stream}-{words}-{seed}"),
        RuntimeConfig(
            stream=StreamConfig(stream=stream, size=config.size, frames_per_visit=config.frames_per_visit),
            model=ModelConfig(checkpoint=config.checkpoint),
            adaptation=adaptation_of(words),
            replay=ReplayConfig(replay_mb=config.replay_mb),
            run=RunConfig(pace="lockstep", seed=seed, shadow=0.0, quiet=True),
            web=WebConfig(web=False),
        ),
    )


def trials_table(trials: Sequence[Trial], *, chosen: Sequence[str], streams: Sequence[str]) -> Table:
    """One line a trial, methods in the order given."""
    return Table(
        title="Settings tried",
        header=("method", "learning rate", "average", *streams, "mean", "chosen"),
        rows=tuple(
            (
                named(trial.method),
                f"{trial.learning_rate:g}" if trial.method != FROZEN else "-",
                f"{trial.ema_decay:g}" if trial.method != FROZEN else "-",
                *(decimal(trial.hmeans[stream]) for stream in streams),
                decimal(trial.score),
                "yes" if trial.words in chosen else "",
            )
            for trial in trials
        ),
        note=NOTE,
    )
