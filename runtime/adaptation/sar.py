"""SAR: reliable entropies minimised where they are flat, and back to the source before it collapses.

Niu et al., ICLR 2023, arXiv 2302.12400. Entropies below 0.4 ln K count (equation 2), pixel by pixel here. The gradient
is taken not at the weights w but at w + rho g / |g| with rho = 0.05, g the gradient at w (equations 3 to 5, sharpness-
aware minimisation), over the pixels that are reliable at both. An exponential average (0.9) of that second loss falling
below a limit is taken for collapse: norms and optimizer return to the source, and the average begins anew.

Settings: SGD, momentum 0.9, rate 0.001 as the released code has it for transformers at batch 64 (0.00025 for ResNets),
since a frame holds more pixels than 64. As there, norms of the last quarter of the network stay as they are: the
encoder's last stage, and the head's, which only takes the frame's statistics. The limit is published as 0.2 nats with
1000 classes; the same share of the greatest entropy is 0.085 with 19. Taken as it stands, 0.2 would call the source
model collapsed on its own clear frames, whose reliable pixels have a mean entropy of 0.1 to 0.17, and learning would
start over there at every step. The released code puts the old average back after a reset; here it begins anew.
"""

# B batch, H height, W width, C channels, K classes

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.losses import pixel_entropy
from models.mit import NUM_STAGES
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import stage_of
from runtime.adaptation.batch_statistics import own_statistics
from runtime.adaptation.entropy_filter import EntropyFilter, masked_mean
from runtime.adaptation.method import Method, Target
from runtime.state import State

RHO = 0.05
LOSS_SHARE = 0.1  # of a step's loss in the running mean
COLLAPSED = 0.2 / math.log(1000)  # of ln K
FIRST_RESTING = NUM_STAGES  # the encoder's last stage, and the head after it


class Sar(Method):
    """Keeps the running mean of its loss. `frozen` holds the source's norms."""

    def __init__(self, frozen: SegmentationModel, *, device: torch.device, rho: float = RHO) -> None:
        self._source = {name: p.detach() for name, p in frozen.named_parameters() if p.requires_grad}
        self._filter = EntropyFilter.of_classes(frozen.num_classes)
        self._collapsed_below = COLLAPSED * math.log(frozen.num_classes)
        self._device = device
        self._rho = rho
        self._mean_loss: float | None = None
        self._is_restored = False

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Mean entropy of the reliable pixels at the worst weights nearby; its gradient is one with respect to the
        student's own. 0 without a graph where no pixel is reliable, or nothing may learn (depth "head").
        """
        x_B3HW = normalise(to_tensor(target.image_HWC)[None].to(self._device))
        learning = {name: p for name, p in student.named_parameters() if p.requires_grad}
        climbing = moving(student)
        with own_statistics(student):
            entropy_BHW = pixel_entropy(student(x_B3HW))
        reliable_BHW = self._filter.is_reliable(entropy_BHW.detach())
        if not climbing or not bool(reliable_BHW.any()):
            return torch.zeros((), device=self._device)
        offsets = climb(masked_mean(entropy_BHW, reliable_BHW), climbing, rho=self._rho)
        nearby = {name: p + offsets[name] if name in offsets else p.detach() for name, p in learning.items()}
        with own_statistics(student, momentum=0.0):
            entropy_BHW = pixel_entropy(cast(Tensor, functional_call(student, nearby, (x_B3HW,))))
        reliable_BHW &= self._filter.is_reliable(entropy_BHW.detach())
        if not bool(reliable_BHW.any()):
            return torch.zeros((), device=self._device)
        loss = masked_mean(entropy_BHW, reliable_BHW)
        self._note(float(loss.detach()))
        return loss

    def learning(self, student: SegmentationModel) -> Sequence[nn.Parameter]:
        """Norms before the last stage."""
        return list(moving(student).values())

    def settle(self, student: SegmentationModel) -> None:
        """Back to the source's norms where the answers have become too sure to be true."""
        self._is_restored = self._mean_loss is not None and self._mean_loss < self._collapsed_below
        if self._is_restored:
            self._mean_loss = None
            with torch.no_grad():
                for name, parameter in student.named_parameters():
                    if name in self._source:
                        parameter.copy_(self._source[name])

    def starts_over(self) -> bool:
        return self._is_restored

    def state(self) -> State:
        """The running mean of the loss."""
        return {"mean_loss": self._mean_loss}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"mean_loss": float() | None as mean_loss}:
                self._mean_loss = mean_loss
            case _:
                raise ValueError(f"not the state of SAR: it has the keys {sorted(state)}")

    def _note(self, loss: float) -> None:
        self._mean_loss = loss if self._mean_loss is None else (1 - LOSS_SHARE) * self._mean_loss + LOSS_SHARE * loss


def moving(student: SegmentationModel) -> dict[str, nn.Parameter]:
    """Trainable parameters by name, but those that rest."""
    named = student.named_parameters()
    return {name: p for name, p in named if p.requires_grad and stage_of(student, name) < FIRST_RESTING}


def climb(loss: Tensor, parameters: Mapping[str, Tensor], *, rho: float) -> dict[str, Tensor]:
    """rho g / |g| by name: to first order, the step of length rho that raises the loss most (Foret et al. 2021)."""
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm() + 1e-12
    return {name: gradient * (rho / norm) for name, gradient in zip(parameters, gradients, strict=True)}
