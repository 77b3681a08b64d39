"""Step size over a training run of known length: a pure function of the step."""

import math

from runtime.pretraining.config import Curve

WARMUP_SHARE = 0.05
WARMUP_RATIO = 1e-6
MAX_WARMUP_STEPS = 1500


def learning_rate_factor(step: int, *, num_steps: int, curve: Curve = "cosine") -> float:
    """Linear warm-up over the first 5 % (at most 1500 steps), then down to 0: in (0, 1] within the run.

    "cosine" falls along half a cosine, after the warm-up. "poly" falls evenly from step 0 on, the warm-up, from 1e-6,
    being a factor on that (MMCV's schedule with power 1, as DAFormer and HAMLET train by; theirs has 1500 steps).
    """
    num_warmup = min(MAX_WARMUP_STEPS, max(1, round(WARMUP_SHARE * num_steps)))
    if curve == "poly":
        warmth = min(1.0, step / num_warmup)
        return (1.0 - step / num_steps) * (WARMUP_RATIO + (1.0 - WARMUP_RATIO) * warmth)
    if step < num_warmup:
        return (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def averaging_decay(num_updates: int, *, decay: float) -> float:
    """min(1 - 1 / (t + 1), decay): a plain mean at first, so that random initial weights are soon forgotten."""
    return min(1.0 - 1.0 / (num_updates + 1), decay)
