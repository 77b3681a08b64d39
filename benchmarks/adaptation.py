"""`udaseg-runtime bench adaptation`: what one learning step costs, in milliseconds, in F and against full DACS.

    udaseg-runtime bench adaptation --models segformer_b0,segformer_b1 --sizes 256x512,512x1024 --stages 1-4,3-4,4

F is the time of one served prediction of the same model at the same size, by the first method named. A round is one
prediction and one step of every method, in turn; ratios are taken within a round. The step is the learner's own: loss,
gradient, optimiser, average, guard and publication (`learning_steps.py`). `dacs` crops to half the frame, as DACS,
DAFormer and HAMLET are published; `dacs_whole` sees whole frames; `prefixed` is the cheapest step on two images, with
frozen stages kept and 2048 pixels of each. `--efforts` holds levels of the governor against the full one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.conditions import Percentiles, compute_device, describe, measure_in_turn
from benchmarks.learning_steps import ALL_STAGES, MEASURED, Steps, parse_stage_ranges
from benchmarks.options import check_at_least, check_names
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import UNKNOWN, Table, decimal
from evaluation.compare import with_track
from models.zoo import MODELS
from runtime.arguments import parse
from runtime.config import Trainable
from runtime.effort import FULL, LEVELS, Effort
from runtime.option_words import parse_size

LESSER_LEVELS = {effort.name: effort for effort in LEVELS[1:] if effort.frames_per_step}
REFERENCES = ("dacs", "dacs_whole")
PREFIX_NOTE = (
    " In prefixed, what frozen stages make of an image is computed once and kept for all rounds; a run with the "
    "default method has no such step, as every styled sample is a new image, and pays for those stages each time."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationBenchConfig:
    """Measure the cost of a learning step."""

    models: str = "segformer_b0,segformer_b1"
    """Architectures, separated by commas."""
    sizes: str = "256x512,512x1024"
    """Sizes HxW of frames and source samples, separated by commas."""
    methods: str = "styled,dacs,dacs_whole"
    """Methods that learn, separated by commas; dacs_whole and prefixed are measured here alone."""
    stages: str = ALL_STAGES
    """Stages with adapters, for methods that have some: ranges, separated by commas, as 1-4,3-4,4."""
    trainable: Trainable | None = None
    """What learns; the method's own choice by default."""
    efforts: str | None = None
    """Levels of effort besides the full one, separated by commas: rate, crop, depth."""
    rounds: int = 20
    """Rounds that count, each one prediction and one step of every method."""
    warmup: int = 3
    """Rounds before that do not."""
    threads: int = 1
    """Threads of torch; a live run on two cores learns on one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    out: Path = Path("runs/bench-adaptation")
    """Folder for the tables."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--models", self.models, MODELS)
        check_names("--methods", self.methods, MEASURED)
        parse_stage_ranges(self.stages)
        if self.efforts is not None:
            check_names("--efforts", self.efforts, LESSER_LEVELS)
        check_at_least("--rounds", self.rounds, 1)
        check_at_least("--warmup", self.warmup, 0)
        check_at_least("--threads", self.threads, 1)
        for size in self.sizes.split(","):
            parse_size(size)
        check_save_name(self.save)

    @property
    def levels(self) -> tuple[Effort, ...]:
        """What is measured of every method, the full one first."""
        return (FULL, *(LESSER_LEVELS[name] for name in self.efforts.split(","))) if self.efforts else (FULL,)


@dataclass(frozen=True, slots=True)
class LevelCost:
    """A level of effort; `over_full` is its step over the full one's, round by round."""

    effort: Effort
    over_full: Percentiles

    @property
    def per_frame(self) -> float:
        """Time on steps for each frame that could be learned from, over that at full effort."""
        return self.over_full.p50 / self.effort.frames_per_step


@dataclass(frozen=True, slots=True)
class StepCost:
    """One model, size and method: times in ms; `in_forwards` is step over forward, `over` the step over those of
    REFERENCES that were measured, round by round. `stages` have adapters; empty where no adapters learn.
    """

    model: str
    size: str
    method: str
    stages: str
    trainable: int
    forward_ms: Percentiles
    step_ms: Percentiles
    in_forwards: Percentiles
    over: dict[str, Percentiles]
    outcomes: dict[str, int]
    levels: tuple[LevelCost, ...]

    @property
    def name(self) -> str:
        """For the first column of tables."""
        named = f"{self.model} {self.size} {with_track(self.method, MEASURED[self.method].track)}"
        return f"{named}, stages {self.stages}" if self.stages not in ("", ALL_STAGES) else named


def main(arguments: Sequence[str]) -> int:
    """Measure every combination, print and write the table."""
    config = parse(AdaptationBenchConfig, arguments, prog="udaseg-runtime bench adaptation")
    device = compute_device(config.device)
    conditions = describe(device.type, threads=config.threads)
    torch.set_num_threads(config.threads)
    grid = product(config.models.split(","), config.sizes.split(","))
    costs = [cost for cell in grid for cost in step_costs(config, *cell, device=device)]
    tables = (cost_table(costs), *((level_table(costs),) if config.efforts else ()))
    result = Result("adaptation", conditions, options=options_of(config), tables=tables, data=costs)
    publish(result, folder=config.out, save=config.save)
    return 0


def step_costs(config: AdaptationBenchConfig, model: str, size: str, *, device: torch.device) -> list[StepCost]:
    """A prediction and a step of every method in turn, on one rainy frame."""
    contestants = [
        (method, stages, Steps(model, parse_size(size), MEASURED[method], device=device, stages=stages or ALL_STAGES,
                               trainable=config.trainable))
        for method in config.methods.split(",")
        for stages in _stages_of(config, method)
    ]  # fmt: skip
    levels = config.levels
    calls = [partial(steps.step, effort) for _, _, steps in contestants for effort in levels]
    times_ms = measure_in_turn(
        (contestants[0][2].forward, *calls), device=device, num_warmup=config.warmup, num_rounds=config.rounds
    )
    forward_ms, steps_ms = times_ms[:, 0], times_ms[:, 1:].reshape(config.rounds, len(contestants), len(levels))
    full_ms: dict[str, np.ndarray] = {}
    for number, (method, _, _) in enumerate(contestants):
        full_ms.setdefault(method, steps_ms[:, number, 0])  # of several ranges of stages the first
    return [
        StepCost(
            model=model,
            size=size,
            method=method,
            stages=stages,
            trainable=steps.num_trainable,
            forward_ms=Percentiles.of(forward_ms),
            step_ms=Percentiles.of(steps_ms[:, number, 0]),
            in_forwards=Percentiles.of(steps_ms[:, number, 0] / forward_ms),
            over={
                name: Percentiles.of(steps_ms[:, number, 0] / full_ms[name]) for name in REFERENCES if name in full_ms
            },
            outcomes=dict(steps.outcomes),
            levels=_level_costs(levels, steps_ms[:, number]),
        )
        for number, (method, stages, steps) in enumerate(contestants)
    ]


def cost_table(costs: Sequence[StepCost]) -> Table:
    """One line for each combination."""
    return Table(
        title="Cost of a learning step",
        header=(
            "model, size, method", "trainable", "F p50 ms", "step p50 ms", "p95 ms", "p50 F", "p95 F",
            *(f"of {name}" for name in REFERENCES), "applied",
        ),
        rows=tuple(
            (
                cost.name,
                f"{cost.trainable:,}",
                decimal(cost.forward_ms.p50),
                decimal(cost.step_ms.p50),
                decimal(cost.step_ms.p95),
                decimal(cost.in_forwards.p50, digits=2),
                decimal(cost.in_forwards.p95, digits=2),
                *(decimal(cost.over[name].p50, digits=3) if name in cost.over else UNKNOWN for name in REFERENCES),
                f"{cost.outcomes.get('applied', 0)} of {sum(cost.outcomes.values())}",
            )
            for cost in costs
        ),
        note="F: one served prediction of the same model at the same size. Of dacs, of dacs_whole: p50 of a step over "
        "theirs (1/8 is 0.125). Steps applied include warm-up."
        + (PREFIX_NOTE if any(cost.method == "prefixed" for cost in costs) else ""),
    )  # fmt: skip


def level_table(costs: Sequence[StepCost]) -> Table:
    """What each level of effort costs of the full one."""
    return Table(
        title="Levels of effort: cost over the full one",
        header=("model, size, method", "level", "one step p50", "p95", "per frame p50"),
        rows=tuple(
            (
                cost.name,
                level.effort.name,
                decimal(level.over_full.p50, digits=2),
                decimal(level.over_full.p95, digits=2),
                decimal(level.per_frame, digits=2),
            )
            for cost in costs
            for level in cost.levels
        ),
        note="Per frame: time on steps for each frame that could be learned from; a level learns from every so many.",
    )


def _stages_of(config: AdaptationBenchConfig, method: str) -> list[str]:
    """Every range where adapters learn, else one row without any."""
    trainable = config.trainable or MEASURED[method].recipe.trainable
    return parse_stage_ranges(config.stages) if "adapters" in trainable else [""]


def _level_costs(levels: Sequence[Effort], times_ms: np.ndarray) -> tuple[LevelCost, ...]:
    """Of one method, from (rounds, levels)."""
    return tuple(
        LevelCost(effort, Percentiles.of(times_ms[:, number] / times_ms[:, 0])) for number, effort in enumerate(levels)
    )
