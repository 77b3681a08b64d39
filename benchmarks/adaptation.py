"""`udaseg-runtime bench adaptation`: what one learning step costs, in milliseconds and in F.

    udaseg-runtime bench adaptation --models segformer_b0,segformer_b1 --sizes 256x512,512x1024

F is the time of one served prediction of the same model at the same size. A round is one prediction and one step, in
turn; the ratio is taken within a round. The step is the learner's own: loss, gradient, optimiser, average, guard and
publication. Weights are random, with answers made sure lest a method find no pixel to learn from; that changes what is
learnt and not how long it takes. The same rounds take a step at every level of effort the governor has, held against
the full one.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.conditions import Percentiles, compute_device, describe, measure_in_turn
from benchmarks.options import check_at_least, check_names
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from evaluation.compare import with_track
from models.adapters import attach_adapters
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica, set_trainable
from models.zoo import MODELS, build_model
from replay.buffer import ReplayBuffer
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.methods import METHODS
from runtime.arguments import parse
from runtime.build import adapters_of
from runtime.config import ModelConfig, Trainable, parse_size
from runtime.effort import FULL, LEVELS, Effort
from runtime.guard import Guard
from runtime.lanes import open_lanes
from runtime.optimizers import build_optimizer
from runtime.predictor import Predictor
from runtime.probe import SAMPLES as PROBE_SAMPLES
from runtime.probe import Probe
from runtime.recipes import Recipe
from runtime.serving import serve
from runtime.trust import Trust
from runtime.weights import VersionedWeights
from streams.stream import StreamOptions, open_stream
from streams.synthetic.stream import clear_samples

NUM_CLASSES = 19
NUM_SAMPLES = 12  # source samples to replay: two streets
RAINY_FRAME = 300  # of rain_sequence: 100 mm/h
SURENESS = 100.0  # factor on the random classifier: mean entropy falls from ln K to some tenths of it
LEARNING_LEVELS = tuple(effort for effort in LEVELS if effort.frames_per_step)
LEARNING = tuple(name for name, entry in METHODS.items() if entry.build is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationBenchConfig:
    """Measure the cost of a learning step."""

    models: str = "segformer_b0,segformer_b1"
    """Architectures, separated by commas."""
    sizes: str = "256x512,512x1024"
    """Sizes HxW of frames and source samples, separated by commas."""
    methods: str = ",".join(LEARNING)
    """Methods that learn, separated by commas."""
    trainable: Trainable | None = None
    """What learns; the method's own choice by default."""
    rounds: int = 20
    """Rounds that count, each one prediction and one step."""
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
        check_names("--methods", self.methods, LEARNING)
        check_at_least("--rounds", self.rounds, 1)
        check_at_least("--warmup", self.warmup, 0)
        check_at_least("--threads", self.threads, 1)
        for size in self.sizes.split(","):
            parse_size(size)
        check_save_name(self.save)


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
    """One model, size and method: times in ms; `in_forwards` is step over forward, round by round."""

    model: str
    size: str
    method: str
    trainable: int
    forward_ms: Percentiles
    step_ms: Percentiles
    in_forwards: Percentiles
    outcomes: dict[str, int]
    levels: tuple[LevelCost, ...]

    @property
    def name(self) -> str:
        """For the first column of tables."""
        return f"{self.model} {self.size} {with_track(self.method, METHODS[self.method].track)}"


def main(arguments: Sequence[str]) -> int:
    """Measure every combination, print and write the table."""
    config = parse(AdaptationBenchConfig, arguments, prog="udaseg-runtime bench adaptation")
    device = compute_device(config.device)
    conditions = describe(device.type, threads=config.threads)
    torch.set_num_threads(config.threads)
    grid = product(config.models.split(","), config.sizes.split(","), config.methods.split(","))
    costs = [step_cost(config, *cell, device=device) for cell in grid]
    tables = (cost_table(costs), level_table(costs))
    result = Result("adaptation", conditions, options=options_of(config), tables=tables, data=costs)
    publish(result, folder=config.out, save=config.save)
    return 0


def step_cost(config: AdaptationBenchConfig, model: str, size: str, method: str, *, device: torch.device) -> StepCost:
    """Predictions and steps in turn, on one rainy frame."""
    size_HW = parse_size(size)
    bench = Bench(model, size_HW, method=method, trainable=config.trainable, device=device)
    steps = [partial(bench.step, effort) for effort in LEARNING_LEVELS]
    times_ms = measure_in_turn(
        (bench.forward, *steps), device=device, num_warmup=config.warmup, num_rounds=config.rounds
    )
    over_full = times_ms[:, 1:] / times_ms[:, 1:2]
    return StepCost(
        model=model,
        size=size,
        method=method,
        trainable=bench.num_trainable,
        forward_ms=Percentiles.of(times_ms[:, 0]),
        step_ms=Percentiles.of(times_ms[:, 1]),
        in_forwards=Percentiles.of(times_ms[:, 1] / times_ms[:, 0]),
        outcomes=dict(bench.outcomes),
        levels=tuple(
            LevelCost(effort, Percentiles.of(over_full[:, number])) for number, effort in enumerate(LEARNING_LEVELS)
        ),
    )


class Bench:
    """A predictor and a learner as a run has them, on one frame; `outcomes` counts what became of the steps."""

    def __init__(
        self, model: str, size_HW: tuple[int, int], *, method: str, trainable: Trainable | None, device: torch.device
    ) -> None:
        torch.manual_seed(0)
        entry = METHODS[method]
        if entry.build is None:
            raise ValueError(f"method must be one that learns, got {method!r}")
        trainable = trainable or entry.recipe.trainable
        student = build_model(model, num_classes=NUM_CLASSES).to(device).eval()
        with torch.no_grad():
            student.head.classifier.weight.mul_(SURENESS)
        if "adapters" in trainable:
            attach_adapters(student, adapters_of(ModelConfig()))
        self.num_trainable = set_trainable(student, trainable).trainable
        self.outcomes: Counter[str] = Counter()
        lanes = open_lanes(device)
        weights = VersionedWeights(adaptable_tensors(student), lane=lanes.learning)
        served = serve(replica(student), lanes.inference, on_fault=print)
        self._predictor = Predictor(served, weights, clock=time.perf_counter)
        replay = source_samples(size_HW)
        candidate = self._candidate(student, weights, entry.recipe, replay)
        generator = torch.Generator().manual_seed(0)
        given = Materials(replay, replica(student), candidate.model, device, generator)
        self._learner = Learner(
            student,
            entry.build(given),
            candidate,
            optimizer=build_optimizer(entry.recipe, student, learning_rate=entry.recipe.learning_rate),
            ema_decay=entry.recipe.ema_decay,
            max_gradient_norm=entry.recipe.max_gradient_norm,
            clock=time.perf_counter,
        )
        stream = open_stream("rain_sequence", StreamOptions(size_HW=size_HW, start=RAINY_FRAME))
        self._frame = next(iter(stream))
        stream.close()

    @staticmethod
    def _candidate(
        student: SegmentationModel, weights: VersionedWeights, recipe: Recipe, replay: ReplayBuffer
    ) -> Candidate:
        """Trusted from the start, so that every step ends in a publication; judged as the method's policy has it."""
        trust, twin, source = Trust(below=1.0), replica(student), weights.source.tensors
        if recipe.policy == "bare":
            guard = Guard(source, max_drift=math.inf)
        else:
            samples = replay.gather(torch.arange(min(len(replay), PROBE_SAMPLES)))
            guard = Guard(source, probe=Probe(*samples, frozen=twin, num_classes=NUM_CLASSES))
        return Candidate(twin, weights, guard=guard, trust=trust, clock=time.perf_counter)

    def forward(self) -> None:
        """One served prediction, with the newest weights."""
        self._prediction = self._predictor.predict(self._frame)

    def step(self, effort: Effort = FULL) -> None:
        """One learning step on the frame just predicted."""
        seen = self._prediction
        target = Target(
            self._frame.index,
            self._frame.image_HWC,
            seen.labels_HW,
            seen.confident_share,
            crop_share=effort.crop_share,
        )
        event, _ = self._learner.learn(target, depth=effort.depth)
        self.outcomes[event.outcome] += 1


def source_samples(size_HW: tuple[int, int]) -> ReplayBuffer:
    """A small full replay buffer of the synthetic world."""
    height, width = size_HW
    num_bytes = NUM_SAMPLES * (height * width * 4 + NUM_CLASSES * 8)
    replay = ReplayBuffer(size_HW, capacity_bytes=num_bytes, generator=torch.Generator().manual_seed(0))
    for frame in clear_samples(NUM_SAMPLES, seed=0, size_HW=size_HW):
        replay.add(frame.image_HWC, np.zeros(size_HW, np.uint8) if frame.label_HW is None else frame.label_HW)
    return replay


def cost_table(costs: Sequence[StepCost]) -> Table:
    """One line for each combination."""
    return Table(
        title="Cost of a learning step",
        header=("model, size, method", "trainable", "F p50 ms", "step p50 ms", "p95 ms", "p50 F", "p95 F", "applied"),
        rows=tuple(
            (
                cost.name,
                f"{cost.trainable:,}",
                decimal(cost.forward_ms.p50),
                decimal(cost.step_ms.p50),
                decimal(cost.step_ms.p95),
                decimal(cost.in_forwards.p50, digits=2),
                decimal(cost.in_forwards.p95, digits=2),
                f"{cost.outcomes.get('applied', 0)} of {sum(cost.outcomes.values())}",
            )
            for cost in costs
        ),
        note="F: one served prediction of the same model at the same size. Steps applied include warm-up.",
    )


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
