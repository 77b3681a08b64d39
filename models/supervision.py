"""What supervised training learns from: one or several answers of a network, each with its weight and its place.

    loss = supervised_loss(model.supervised(normalise(images_BHWC)), labels_BHW)

Most networks give one answer for the whole image. K-Net answers after every update of its kernels, HRDA for a detail
as well as for the whole. Runs never ask for these: they see what `forward` answers.
"""

# B batch, K classes, H height, W width, h w of an answer

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.losses import cross_entropy, shrink_labels

Objective = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Supervised:
    """Logits (B, K, h, w) and the weight of their loss.

    They stand at `corner` (top, left) of a grid of `grid_HW` that covers the image; by default they cover it all.
    """

    logits_BKhw: Tensor
    weight: float = 1.0
    grid_HW: tuple[int, int] | None = None
    corner: tuple[int, int] = (0, 0)


def at_stride(logits_BKhw: Tensor, labels_BHW: Tensor) -> Tensor:
    """Cross-entropy at the logits' size."""
    return cross_entropy(logits_BKhw, shrink_labels(labels_BHW, logits_BKhw.shape[-2:]))


def supervised_loss(answers: Sequence[Supervised], labels_BHW: Tensor, objective: Objective = at_stride) -> Tensor:
    """Weighted sum of what `objective` says of each answer (float32) and the labels of its part of the image."""
    losses = [answer.weight * objective(answer.logits_BKhw.float(), _part(answer, labels_BHW)) for answer in answers]
    return torch.stack(losses).sum()


def _part(answer: Supervised, labels_BHW: Tensor) -> Tensor:
    if answer.grid_HW is None:
        return labels_BHW
    sides = zip(answer.corner, answer.logits_BKhw.shape[-2:], answer.grid_HW, labels_BHW.shape[-2:], strict=True)
    rows, columns = (slice(round(at * num / of), round((at + side) * num / of)) for at, side, of, num in sides)
    return labels_BHW[:, rows, columns]
