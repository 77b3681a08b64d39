"""The adaptation methods there are, by name, in one dict.

Add your own by writing a class with `loss(student, target)` (see `method.py`) and naming it here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import torch

from runtime.adaptation.bn import StatisticsMixing
from runtime.adaptation.cotta import CottaSelfTraining
from runtime.adaptation.dacs import DacsSelfTraining
from runtime.adaptation.eata import Eata
from runtime.adaptation.hamlet import Hamlet
from runtime.adaptation.method import Materials, Method
from runtime.adaptation.multi_view import PUBLISHED_SCALES
from runtime.adaptation.onda import Onda
from runtime.adaptation.roid import RoidSelfTraining
from runtime.adaptation.rotta import RottaSelfTraining
from runtime.adaptation.sar import Sar
from runtime.adaptation.styled import StyledReplay
from runtime.adaptation.tent import Tent
from runtime.recipes import Recipe

Track = Literal["none", "source-free", "source-once", "source-replay", "oracle"]


@dataclass(frozen=True, slots=True)
class Entry:
    """`build` is None for a method that never learns. `track` says what it needs besides the stream, and scores of
    different tracks are not comparable: nothing, unlabelled source images once before it starts, labelled ones all the
    time, or the stream's own labels.
    """

    summary: str
    build: Callable[[Materials], Method] | None
    track: Track = "source-replay"
    recipe: Recipe = field(default_factory=Recipe)


# 100 mm/h at a stroke is left 14 points above frozen after 60 frames with three descents, 11 with one.
# Adapters alone win as much in rain and at night as with the head, with a fifth of its weights (ablation_synthetic.md).
STYLED_RECIPE = Recipe(trainable="adapters", learning_rate=3e-3, fresh_descents=3)
DACS_RECIPE = Recipe(
    trainable="full",
    learning_rate=6e-5,
    head_rate=10.0,
    weight_decay=0.01,
    decays_norms=False,
    max_gradient_norm=math.inf,
    ema_decay=0.0,
    policy="bare",
)
NORMS_RECIPE = Recipe("norm", "sgd", 1e-3, max_gradient_norm=math.inf, ema_decay=0.0, policy="bare")
COTTA_RECIPE = Recipe("full", "adam", 7.5e-6, max_gradient_norm=math.inf, ema_decay=0.999, policy="bare")

HAMLET_RECIPE = replace(DACS_RECIPE, learning_rate=1.5e-5)
ONDA_RECIPE = Recipe(
    trainable="full",
    optimizer="sgd",
    learning_rate=8e-4,
    head_rate=1 / 8,
    weight_decay=1e-4,
    max_gradient_norm=math.inf,
    ema_decay=0.0,
    policy="bare",
)

METHODS: dict[str, Entry] = {
    "styled": Entry(
        "labelled source samples styled like the frame just seen, true labels (default)",
        lambda given: StyledReplay(given.replay, device=given.device, generator=given.generator),
        recipe=STYLED_RECIPE,
    ),
    "dacs": Entry(
        "ClassMix of source samples onto pseudo-labelled frames, all weights (DACS, WACV 2021)",
        DacsSelfTraining,
        recipe=DACS_RECIPE,
    ),
    "bn": Entry(
        "running average of the stream's statistics in batch norms, no gradient (EMA-BN)",
        lambda given: StatisticsMixing(given.frozen),
        track="source-free",
        recipe=NORMS_RECIPE,
    ),
    "tent": Entry(
        "entropy minimised in norms (TENT, ICLR 2021)",
        lambda given: Tent(device=given.device),
        track="source-free",
        recipe=replace(NORMS_RECIPE, optimizer="adam", learning_rate=6e-5 / 8),
    ),
    "eata": Entry(
        "entropy minimised in norms where sure and new, anchored by Fisher information (EATA, ICML 2022)",
        lambda given: Eata(given.replay, frozen=given.frozen, device=given.device),
        track="source-once",
        recipe=NORMS_RECIPE,
    ),
    "sar": Entry(
        "entropy minimised in norms where sure and flat, with resets (SAR, ICLR 2023)",
        lambda given: Sar(given.frozen, device=given.device),
        track="source-free",
        recipe=NORMS_RECIPE,
    ),
    "rotta": Entry(
        "learns its average's answers on a balanced memory, slow batch statistics (RoTTA, CVPR 2023)",
        RottaSelfTraining,
        track="source-free",
        recipe=Recipe("norm", "adam", 1e-3, max_gradient_norm=math.inf, ema_decay=0.999, policy="bare"),
    ),
    "roid": Entry(
        "surer where sure and diverse, consistent, merged with the source, prior corrected (ROID, WACV 2024)",
        lambda given: RoidSelfTraining(given, torch.tensor(given.replay.statistics().pixels_by_class)),
        track="source-free",
        recipe=Recipe("norm", "nesterov", 2.5e-4, max_gradient_norm=math.inf, ema_decay=0.0, policy="bare"),
    ),
    "cotta": Entry(
        "learns the labels of its average, weights restored by chance; one view (CoTTA, CVPR 2022)",
        CottaSelfTraining,
        track="source-free",
        recipe=COTTA_RECIPE,
    ),
    "cotta14": Entry(
        "the same with labels of 14 views where the source model is unsure, as published",
        lambda given: CottaSelfTraining(given, scales=PUBLISHED_SCALES),
        track="source-free",
        recipe=COTTA_RECIPE,
    ),
    "hamlet": Entry(
        "learns where a light decoder sees the domain change, as long and as deep as pays (HAMLET, ICCV 2023)",
        Hamlet,
        recipe=HAMLET_RECIPE,
    ),
    "hamlet_released": Entry(
        "hamlet with the arithmetic of its authors' code, defects included",
        partial(Hamlet, is_released=True),
        recipe=replace(HAMLET_RECIPE, head_rate=1.0),
    ),
    "onda": Entry(
        "pseudo-labels from class prototypes, prior from the source or a later network (OnDA, ECCV 2022)",
        Onda,
        recipe=ONDA_RECIPE,
    ),
    "frozen": Entry("never learns: the source model as it is", None, track="none"),
}
