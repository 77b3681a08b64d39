"""The training loop: batches to steps, and now and then a report, a score, a saved state.

It decides when; what a step, a score or a saved state is, its collaborators know.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.pretraining.progress import TrainingProgress
from runtime.pretraining.trainer import Trainer

REPORT_EVERY = 20


class TrainingDiverged(ArithmeticError):
    """The loss is no longer a number; the state saved last is from before."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long to train and how often to look up."""

    num_steps: int
    validate_every: int
    save_every_s: float


@dataclass(frozen=True, slots=True)
class Collaborators:
    """`score` gives mIoU in points, `save` keeps the state, `should_stop` is asked after every step."""

    score: Callable[[], float] | None
    save: Callable[[], None]
    should_stop: Callable[[], bool]
    progress: TrainingProgress
    clock: Callable[[], float]


def train(
    trainer: Trainer, batches: Iterable[Sequence[Tensor]], *, rhythm: Rhythm, others: Collaborators
) -> float:
    """Steps until `num_steps` are done in all or `should_stop` holds, the state being saved at either end.

    Returns the mean loss reported last, nan where there was no step to take. Raises TrainingDiverged.
    """
    losses: list[Tensor] = []
    loss = math.nan
    saved_at_s = others.clock()
    for batch in batches:
        losses.append(trainer.step(*batch))
        done = trainer.num_steps_done
        ends = done >= rhythm.num_steps or others.should_stop()
        if done % REPORT_EVERY == 0 or ends:
            loss = _mean(losses, done)
            losses.clear()
            others.progress.advance(done, loss=loss, learning_rate=trainer.learning_rate)
        if others.score is not None and done % rhythm.validate_every == 0 and not ends:
            others.progress.note(f"step {done}: {others.score():.1f} mIoU on unseen frames")
        if ends or others.clock() - saved_at_s >= rhythm.save_every_s:
            others.save()
            saved_at_s = others.clock()
        if ends:
            break
    return loss


def _mean(losses: list[Tensor], step: int) -> float:
    """One wait for the device per report. TrainingDiverged where the mean is not finite."""
    mean = float(torch.stack(losses).mean())
    if not math.isfinite(mean):
        raise TrainingDiverged(f"--learning-rate: the loss is {mean} at step {step}; try half of it")
    return mean
