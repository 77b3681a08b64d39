"""Scores over a part of the classes, by the names under which benchmarks report them: mIoU16 and mIoU13 of SYNTHIA.

A mean over the subset's own IoUs, as published, not a rescaled mean over all: it differs where a class left out was
answered or labelled. Pixels of other classes still count as errors of those they were taken for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # JSON

from runtime.option_words import ConfigError, nearest
from runtime.scores import Scores
from streams.datasets.label_spaces import SCORED


@dataclass(frozen=True, slots=True)
class SubsetScore:
    """mIoU in [0, 1] over those of `num_classes` classes that are present; nan where none is."""

    name: str
    num_classes: int
    miou: float
    miou_frozen: float


def subset_names(words: str | None) -> tuple[str, ...]:
    """Names joined with commas; ConfigError for one there is none of."""
    names = tuple(words.split(",")) if words else ()
    for name in names:
        if name not in SCORED:
            raise ConfigError(f"--score-classes {name}: no such subset of classes; {nearest(name, list(SCORED))}")
    return names


def subset_score(name: str, scores: Scores) -> SubsetScore:
    """The score over the classes of SCORED[name]."""
    wanted = [number for number, label in enumerate(scores.classes) if label in SCORED[name]]
    served = [scores.class_iou[number] for number in wanted]
    frozen = [scores.class_iou_frozen[number] for number in wanted]
    return SubsetScore(name, len(SCORED[name]), _mean(served), _mean(frozen))


def subset_lines(summary: Mapping[str, Any]) -> list[str]:
    """What the summary says of them, for the terminal; nothing where the stream had no labels."""
    rows = (summary.get("quality") or {}).get("subsets", [])
    return [
        f"    {row['name']}  mIoU {_points(row['miou'])}, frozen {_points(row['miou_frozen'])}, "
        f"over {row['classes']} classes"
        for row in rows
    ]


def _points(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.1f}"


def _mean(ious: list[float]) -> float:
    present = [iou for iou in ious if not math.isnan(iou)]
    return sum(present) / len(present) if present else math.nan
