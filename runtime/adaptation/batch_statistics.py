"""Batch norms under the statistics of the frame at hand: what test-time methods do to networks that have some.

    with own_statistics(student):                       # TENT and its kin
        logits_BKHW = student(x_B3HW)                   # normalised by the frame's own statistics, with gradient
    with norms_watched(student, move), torch.no_grad():
        student(x_B3HW)                                 # `move` sees each batch norm's input before it is normalised

Either leaves the statistics in the running buffers, from where they are published with the version: the frames after
that are answered with them in eval mode. Only batch norms whose running statistics are adaptable take part (all by
`--trainable norm` and `full`, the head's by the others); the rest stay as they are, since nobody would publish what
moved. Layer norms have no statistics to move.
"""

# B batch, C channels, H height, W width

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any  # arguments of a module are whatever it takes

import torch
from torch import Tensor, nn

from models.segformer import SegmentationModel

Move = Callable[[str, nn.BatchNorm2d, Tensor, Tensor], None]


def moving_norms(model: SegmentationModel) -> dict[str, nn.BatchNorm2d]:
    """Batch norms by name whose running statistics are adaptable."""
    names = set(model.adaptable_names)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d) and f"{name}.running_mean" in names
    }


@contextmanager
def own_statistics(model: SegmentationModel, *, momentum: float = 1.0) -> Iterator[None]:
    """Within, batch norms normalise by the input's own statistics, and the running ones move `momentum` of the way
    there: 1 takes them over, 0 leaves the running ones alone.
    """
    norms = moving_norms(model)
    kept = {name: (norm.training, norm.momentum) for name, norm in norms.items()}
    for norm in norms.values():
        norm.training, norm.momentum = True, momentum
    try:
        yield
    finally:
        for name, norm in norms.items():
            norm.training, norm.momentum = kept[name]


@contextmanager
def norms_watched(model: SegmentationModel, move: Move) -> Iterator[None]:
    """Within, `move(name, norm, mean_C, variance_C)` is called for every batch norm before it normalises its input by
    its running statistics; what `move` makes of those is what the input is normalised by.

    The variance is unbiased, as torch keeps it. A head that folds its batch norm into a projection while that is in
    eval mode has to compute the sum before it here, so norms are in training mode until their input has been seen.
    """

    def watch(name: str, norm: nn.BatchNorm2d) -> Callable[[nn.Module, Any], None]:
        def hook(_: nn.Module, arguments: Any) -> None:
            variance_C, mean_C = torch.var_mean(arguments[0], dim=(0, 2, 3))
            norm.training = False
            move(name, norm, mean_C, variance_C)

        return hook

    with ExitStack() as stack:
        for name, norm in moving_norms(model).items():
            stack.callback(setattr, norm, "training", norm.training)
            stack.callback(norm.register_forward_pre_hook(watch(name, norm)).remove)
            norm.training = True
        yield
