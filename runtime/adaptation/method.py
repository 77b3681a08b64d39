"""What an adaptation method is: a loss for one learning step.

    class MyMethod:
        def loss(self, student: nn.Module, target: Target) -> Tensor: ...

The learner owns the student, its optimizer, averaging, guarding and publication; a method only says what to learn
from. It receives target frames without labels: truth never travels this way.
"""

# H height, W width, C channels

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A frame just predicted, as learning may see it: image, served labels (pseudo-labels) and how sure they are.

    `confident_share` in [0, 1] is the share of pixels whose top-1 probability is at least 0.968. `crop_share` in (0, 1]
    asks for crops of that share of each side of what a method shows the student otherwise: less than 1 while time is
    short. A method that crops nothing may ignore it; rate and depth are shed without its help. `appearance_F` is what
    the stream looks like of late (`runtime.shift.appearance`), where that is known.
    """

    frame_index: int
    image_HWC: np.ndarray
    labels_HW: np.ndarray
    confident_share: float
    crop_share: float = 1.0
    appearance_F: np.ndarray | None = None


class Method(Protocol):
    """One scalar loss per call, differentiable in the student's trainable parameters."""

    def loss(self, student: nn.Module, target: Target) -> Tensor: ...
