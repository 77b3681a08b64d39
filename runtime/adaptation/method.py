"""What an adaptation method is: a loss for one learning step, and what it does to weights by itself, if anything.

    class MyMethod(Method):
        def loss(self, student: SegmentationModel, target: Target) -> Tensor | None: ...

The learner owns the student, its optimizer, averaging, guarding and publication; a method only says what to learn
from. It receives target frames without labels: truth never travels this way. What it remembers between steps it gives
as `state()` and takes by `load_state()` (`runtime.state`), so that a resumed run goes on bit for bit.
"""

# H height, W width, C channels

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.trainable import trainable_parameters
from replay.buffer import ReplayBuffer


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


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """What a method is built from. It reads all of it and writes only to what it makes itself.

    `frozen` answers with the source weights, `teacher` with the averaged ones as they are at that moment; both are in
    eval mode, share their frozen tensors with the student and belong to the learner's thread. `replay` holds labelled
    source samples: a source-free method leaves them alone, but may be told what a checkpoint could carry, such as the
    share of each class. `clock` (seconds) is for methods that weigh what their steps cost, and stands still while
    learning is held back for a prediction; None in lockstep, where no time may enter a decision. `light_decoder` came
    with the source checkpoint, if one did. `is_averaged` is False where the recipe serves the student itself and
    `teacher` is its equal.
    """

    replay: ReplayBuffer
    frozen: SegmentationModel
    teacher: SegmentationModel
    device: torch.device
    generator: torch.Generator
    clock: Callable[[], float] | None = None
    light_decoder: LightDecoder | None = None
    is_averaged: bool = True


class Method:
    """The base of all methods: only `loss` must be written."""

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """Differentiable in the student's trainable parameters, or without a graph where the method has moved
        buffers itself and there is nothing to descend; None where this frame teaches nothing and all stays as it is.
        """
        raise NotImplementedError

    def rate(self) -> float:
        """Factor on the learning rate of the step whose loss was just computed."""
        return 1.0

    def learning(self, student: SegmentationModel) -> Sequence[nn.Parameter]:
        """What the step whose loss was just computed trains; terms beside the method train no more than that."""
        return trainable_parameters(student)

    def settle(self, student: SegmentationModel) -> None:
        """After the descent, before weights are averaged: what the method does to the student's weights itself."""

    def starts_over(self) -> bool:
        """Asked after `settle`: whether that took the student back, so that the optimizer has to forget its moments."""
        return False
