"""Training mode for one loss: dropout, drop path and batch norms as in published training, and eval mode again after.

    with in_training_mode(student, generator):
        logits_BKHW = student(x_B3HW)

The learner keeps the student in eval mode, where every part of a loss is deterministic. Methods that are published with
dropout, or that move the running statistics of batch norms, compute the student's forward passes in here. What the
mode keeps frozen stays in eval mode (`models.trainable`): batch norms move in mode `full` alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from models.segformer import SegmentationModel


@contextmanager
def in_training_mode(model: SegmentationModel, generator: torch.Generator) -> Iterator[None]:
    """Chance is drawn from `generator` (a CPU one), whatever the device; torch's global generators are left alone."""
    seed = int(torch.randint(2**62, (), generator=generator))
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model.train()
        try:
            yield
        finally:
            model.eval()
