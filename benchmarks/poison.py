"""`udaseg-runtime bench poison`: what is left of the served model once a poisoned stretch is over.

    udaseg-runtime bench poison --kinds noise,frozen --starts rain

Lockstep runs in this process: some sound frames, a stretch of poison, then clear weather, where served and frozen
model answer the same frames. In `rain` the learner is at work when the poison comes; in `clear` it rests. A kind
passes when the served model is at most a point below the frozen one on the first clear frames, on any window of as
many, and on all of them.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from benchmarks.conditions import describe
from benchmarks.method_words import named
from benchmarks.options import check_at_least, check_names, check_seeds
from benchmarks.poisoned import LESSONS, STARTS, STRETCH, Plan, PoisonedStream, poisoned_methods
from benchmarks.poisoned_pictures import PICTURES
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from evaluation.confusion import count_pixels, mean_iou
from runtime import events
from runtime.adaptation.methods import METHODS, Entry
from runtime.arguments import parse
from runtime.build import build
from runtime.config import AdaptationConfig, ModelConfig, Policy, ReplayConfig, RunConfig, RuntimeConfig, StreamConfig
from runtime.observer import Event
from runtime.option_words import parse_size
from streams.stream import Stream, StreamOptions
from streams.synthetic.stream import DEFAULT_SIZE_HW

THREADS = 1
WINDOW = 25  # frames
MOST_BELOW = 1.0  # points of mIoU
POINTS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonConfig:
    """Score the served model against the frozen one after poisoned stretches."""

    kinds: str = ",".join((*PICTURES, *LESSONS))
    """Kinds of poison, separated by commas; `none` is the control."""
    starts: str = "clear,rain"
    """Weather before and during the poison, separated by commas; spoiled lessons need rain to be heard at all."""
    seeds: str = "0"
    """Seeds, separated by commas."""
    before: int = 40
    """Sound frames at the start."""
    poison: int = 120
    """Poisoned frames."""
    after: int = 75
    """Clear frames at the end, which are scored."""
    policy: Policy = "guarded"
    """Under `bare` nothing but the gate protects: the control, without which survival proves nothing."""
    checkpoint: str | None = None
    """Source checkpoint, a file or a shipped name; the model's shipped one by default."""
    size: str | None = None
    """HxW of frames; the source model's training size by default."""
    replay_mb: float = 64.0
    """Replay buffer; smaller than a run's so that filling it does not take longer than the run."""
    out: Path = Path("runs/bench-poison")
    """Folder for the tables."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--kinds", self.kinds, (*PICTURES, *LESSONS))
        check_names("--starts", self.starts, STARTS)
        check_seeds(self.seeds)
        check_at_least("--before", self.before, 10)
        check_at_least("--poison", self.poison, 1)
        check_at_least("--after", self.after, WINDOW)
        if self.size is not None:
            parse_size(self.size)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True)
class PoisonFigures:
    """One run. Counts are of the poisoned stretch, mIoU in points of the clear end; differences are served - frozen.

    `steps` counts outcomes of learning by name, `gated` refused frames by reason, `gated_elsewhere` refused sound ones.
    """

    kind: str
    start: str
    seed: int
    frames: int
    gated: dict[str, int]
    gated_elsewhere: int
    steps: dict[str, int]
    rollbacks: int
    miou: float
    miou_frozen: float
    first_difference: float
    worst_difference: float
    first_version_after: int
    last_version: int

    @property
    def difference(self) -> float:
        return self.miou - self.miou_frozen

    @property
    def is_survived(self) -> bool:
        return min(self.difference, self.first_difference, self.worst_difference) >= -MOST_BELOW


class Aftermath:
    """Observer: counts what happened in the stretch and keeps the confusions of every frame after it."""

    def __init__(self, num_classes: int) -> None:
        self.gated: dict[str, Counter[str]] = {}
        self.steps: Counter[str] = Counter()
        self.num_rollbacks = 0
        self.served: list[np.ndarray] = []
        self.frozen: list[np.ndarray] = []
        self.versions: list[int] = []
        self._num_classes = num_classes
        self._domain = ""

    def observe(self, event: Event) -> None:
        match event:
            case events.Prediction(frame=frame):
                self._domain = frame.domain or ""
                if self._domain == "after":
                    self.versions.append(event.version)
            case events.ShadowPrediction(frame=frame) if frame.domain == "after" and frame.label_HW is not None:
                self.served.append(count_pixels(frame.label_HW, event.served_labels_HW, self._num_classes))
                self.frozen.append(count_pixels(frame.label_HW, event.labels_HW, self._num_classes))
            case events.FrameGated(reason=reason):
                self.gated.setdefault(self._domain, Counter())[reason] += 1
            case events.AdaptationStep(outcome=outcome) if self._domain == STRETCH:
                self.steps[outcome] += 1
            case events.Rollback() if self._domain == STRETCH:
                self.num_rollbacks += 1

    def differences(self) -> list[float]:
        """Of mIoU, in points, over each window of WINDOW frames."""
        starts = range(len(self.served) - WINDOW + 1)
        return [
            points(self.served[first : first + WINDOW]) - points(self.frozen[first : first + WINDOW])
            for first in starts
        ]


def main(arguments: Sequence[str]) -> int:
    """Run every combination, print and write the table."""
    config = parse(PoisonConfig, arguments, prog="udaseg-runtime bench poison")
    conditions = describe("cpu", threads=THREADS)
    torch.set_num_threads(THREADS)
    rows = []
    for kind, start, seed in product(config.kinds.split(","), config.starts.split(","), config.seeds.split(",")):
        if kind in LESSONS and start == "clear":
            continue
        rows.append(survive(config, kind, start, int(seed)))
        print(", ".join(f"{name} {cell}" for name, cell in zip(HEADER, row_of(rows[-1]), strict=True)), flush=True)
    result = Result("poison", conditions, options=options_of(config), tables=(table(rows, config.policy),), data=rows)
    publish(result, folder=config.out, save=config.save)
    return 0


def survive(config: PoisonConfig, kind: str, start: str, seed: int) -> PoisonFigures:
    """One lockstep run through start, poison and clear end."""
    plan = Plan("rain" if start == "rain" else "clear", config.before, config.poison, config.after)

    def open_poisoned(_: str, options: StreamOptions) -> Stream:
        return PoisonedStream(kind, plan, seed=seed, size_HW=options.size_HW or DEFAULT_SIZE_HW)

    run_config = RuntimeConfig(
        stream=StreamConfig(size=config.size),
        model=ModelConfig(checkpoint=config.checkpoint, device="cpu"),
        adaptation=AdaptationConfig(
            method=kind if kind in LESSONS else AdaptationConfig().method, policy=config.policy
        ),
        replay=ReplayConfig(source="synthetic", replay_mb=config.replay_mb),
        run=RunConfig(pace="lockstep", seed=seed, shadow=1.0),
    )
    with offered(poisoned_methods(plan)):
        parts = build(run_config, open_with=open_poisoned)
    seen = Aftermath(len(parts.manifest.classes))
    parts.driver.run(seen.observe, threading.Event())
    differences = seen.differences()
    return PoisonFigures(
        kind=kind,
        start=start,
        seed=seed,
        frames=config.poison,
        gated=dict(seen.gated.get(STRETCH, {})),
        gated_elsewhere=sum(sum(counts.values()) for domain, counts in seen.gated.items() if domain != STRETCH),
        steps=dict(seen.steps),
        rollbacks=seen.num_rollbacks,
        miou=points(seen.served),
        miou_frozen=points(seen.frozen),
        first_difference=differences[0],
        worst_difference=min(differences),
        first_version_after=seen.versions[0],
        last_version=seen.versions[-1],
    )


@contextmanager
def offered(methods: Mapping[str, Entry]) -> Iterator[None]:
    """Methods that `build` finds by name for as long as it takes."""
    METHODS.update(methods)
    try:
        yield
    finally:
        for name in methods:
            del METHODS[name]


def points(counts: Sequence[np.ndarray]) -> float:
    """mIoU in points over frames given by their confusions."""
    return POINTS * mean_iou(np.sum(counts, axis=0))


HEADER = (
    *("poison, weather, seed", "gated %", "elsewhere", "learnt", "refused", "rollbacks"),
    *("served", "frozen", "all", "first 25", "worst 25", "verdict"),
)


def row_of(figures: PoisonFigures) -> tuple[str, ...]:
    """Cells of one line."""
    learnt = figures.steps.get("applied", 0) + figures.steps.get("shadowed", 0)
    relaxed = figures.steps.get("relaxed", 0)
    return (
        f"{figures.kind} {figures.start} {figures.seed}",
        decimal(POINTS * sum(figures.gated.values()) / figures.frames, digits=0),
        str(figures.gated_elsewhere),
        str(learnt),
        str(sum(figures.steps.values()) - learnt - relaxed),
        str(figures.rollbacks),
        decimal(figures.miou),
        decimal(figures.miou_frozen),
        decimal(figures.difference, is_signed=True),
        decimal(figures.first_difference, is_signed=True),
        decimal(figures.worst_difference, is_signed=True),
        "survived" if figures.is_survived else "HARMED",
    )


def table(rows: Sequence[PoisonFigures], policy: Policy) -> Table:
    """One line for each run."""
    return Table(
        title=f"After the poison, {named(AdaptationConfig().method)}, policy {policy}",
        header=HEADER,
        rows=tuple(row_of(row) for row in rows),
        note=(
            "Gated, learnt, refused, rollbacks: during the poisoned stretch; elsewhere: sound frames refused. "
            "mIoU in points on the clear frames afterwards; differences are served - frozen over all, the "
            f"first 25 and the worst window of 25. Survived: none of the three below -{MOST_BELOW:g}."
        ),
    )
