"""A run as curves over its frames: the arrays that plots draw, taken from the rows of a run folder.

The one place of this package that knows the field names of `events.jsonl`. Draws nothing, computes no score.
"""

# N predicted frames

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from evaluation.run_folder import Row, RunFolder, number

EFFECTIVE_OUTCOMES = ("applied", "shadowed", "relaxed")


@dataclass(frozen=True, slots=True)
class Span:
    """One visit: the frames [first, last] in which the stream stayed in domain `name`."""

    name: str
    first: float
    last: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Values over frame indices, both float64 of one length; nan where nothing was measured."""

    frames: np.ndarray
    values: np.ndarray

    @property
    def is_empty(self) -> bool:
        return not bool(np.isfinite(self.values).any())

    def only_measured(self) -> "Curve":
        keep = np.isfinite(self.values)
        return Curve(self.frames[keep], self.values[keep])


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a frame: a detected shift, a rollback, a refused step, learning shed or resumed."""

    frame: float
    kind: str
    value: float
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Everything drawn over time. mIoU in points, times in ms, entropy in nats, shares in [0, 1]."""

    spans: tuple[Span, ...]
    miou: Curve
    miou_frozen: Curve
    confidence: Curve
    entropy: Curve
    agreement: Curve
    latency: Curve
    inference: Curve
    frozen_inference: Curve
    version: Curve
    loss: Curve
    step_ms: Curve
    shift_score: Curve
    shifts: tuple[Mark, ...]
    troubles: tuple[Mark, ...]
    efforts: tuple[Mark, ...]
    drops: Counter[str]
    outcomes: Counter[str]

    @property
    def num_predicted(self) -> int:
        return len(self.latency.frames)


def read_timeline(run: RunFolder) -> Timeline:
    """The curves of a run, finished or not."""
    return Timeline(
        spans=_spans(run.rows("prediction")),
        miou=_curve(run, "prediction", "miou_recent"),
        miou_frozen=_curve(run, "prediction", "miou_frozen_recent"),
        confidence=_curve(run, "prediction", "confidence"),
        entropy=_curve(run, "prediction", "entropy_nats"),
        agreement=_curve(run, "shadow_prediction", "agreement"),
        latency=_curve(run, "prediction", "latency_ms"),
        inference=_curve(run, "prediction", "inference_ms"),
        frozen_inference=_curve(run, "shadow_prediction", "duration_ms"),
        version=_curve(run, "prediction", "version"),
        loss=_curve(run, "adaptation_step", "loss"),
        step_ms=_curve(run, "adaptation_step", "duration_ms"),
        shift_score=_curve(run, "shift_score", "score"),
        shifts=tuple(
            Mark(_frame(row), str(row.get("kind")), number(row.get("score")), str(row.get("true_domain") or ""))
            for row in run.rows("shift_event")
        ),
        troubles=tuple(_troubles(run)),
        efforts=tuple(_efforts(run)),
        drops=Counter(str(row.get("reason")) for row in run.rows("frame_dropped")),
        outcomes=Counter(str(row.get("outcome")) for row in run.rows("adaptation_step")),
    )


def percentiles(values: np.ndarray) -> dict[str, float]:
    """p50, p95, p99 and max of the finite values, by those names; nan where there are none."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return dict.fromkeys(("p50", "p95", "p99", "max"), float("nan"))
    p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(values.max())}


def _troubles(run: RunFolder) -> Iterator[Mark]:
    """Learning undone or refused, at its frame."""
    for row in run.rows("rollback"):
        yield Mark(_frame(row), "rollback", number(row.get("version")), str(row.get("reason", "")))
    for row in run.rows("adaptation_step"):
        if row.get("outcome") not in EFFECTIVE_OUTCOMES:
            yield Mark(_frame(row), str(row.get("outcome")), number(row.get("version")), str(row.get("detail", "")))


def _efforts(run: RunFolder) -> Iterator[Mark]:
    """Changes of the governor's level: learning shed for want of room, or resumed."""
    level = 0.0
    for row in run.rows("governor_changed"):
        before, level = level, number(row.get("level"))
        kind = "learning shed" if level > before else "resumed"
        yield Mark(_frame(row), kind, level, f"{row.get('name')}: {row.get('detail')}")


def _spans(predictions: list[Row]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for row in predictions:
        name, frame = str(row.get("domain") or ""), _frame(row)
        if spans and spans[-1].name == name:
            spans[-1] = replace(spans[-1], last=frame)
        else:
            spans.append(Span(name, frame, frame))
    return tuple(spans)


def _curve(run: RunFolder, event: str, key: str) -> Curve:
    rows = run.rows(event)
    frames = np.array([_frame(row) for row in rows], dtype=np.float64)
    values = np.array([number(row.get(key)) for row in rows], dtype=np.float64)
    return Curve(frames, values)


def _frame(row: Row) -> float:
    return number(row.get("frame"))
