"""The Fisher anchor: a quadratic pull to the source weights, strongest where the source's answers depend on them most.

    anchor = measured_anchor(replay, frozen)                      # once, before learning starts
    loss = loss + anchor.penalty(student)

or `--with fisher`. EATA (Niu et al., ICML 2022, arXiv 2204.02610, equations 8 and 9), after elastic weight
consolidation (Kirkpatrick et al. 2017). Images of the source are needed once and their labels never: the model's own
answers stand in for them. Strength 2000 and 2000 images are as published; those were read in batches of 64, which makes
32 gradients, and 32 frames make as many here.
"""

# B batch, H height, W width, C channels, K classes

from collections.abc import Mapping

import torch
from torch import Tensor

from models.losses import cross_entropy
from models.preprocess import normalise
from models.segformer import SegmentationModel
from replay.buffer import ReplayBuffer
from runtime.adaptation.batch_statistics import own_statistics
from runtime.adaptation.method import Target

NUM_IMAGES = 32
STRENGTH = 2000.0


class FisherAnchor:
    """Knows where the source weights are, and how much each matters. The frozen model must stay as it is.

    A term any method can be joined with (`composed.py`).
    """

    def __init__(self, frozen: SegmentationModel, importance: Mapping[str, Tensor], *, strength: float) -> None:
        self._anchor = {name: p.detach() for name, p in frozen.named_parameters() if name in importance}
        self._importance = importance
        self._strength = strength

    def penalty(self, student: SegmentationModel) -> Tensor:
        """strength * sum_i F_i (w_i - w0_i)^2 over the parameters that have an importance; a scalar."""
        pulls = [
            (self._importance[name] * (parameter - self._anchor[name]).square()).sum()
            for name, parameter in student.named_parameters()
            if name in self._importance
        ]
        return self._strength * torch.stack(pulls).sum()

    def loss(self, student: SegmentationModel, _: Target) -> Tensor:
        """The penalty, whatever the frame."""
        return self.penalty(student)


def measured_anchor(replay: ReplayBuffer, frozen: SegmentationModel, *, strength: float = STRENGTH) -> FisherAnchor:
    """The anchor by the first NUM_IMAGES images of the replay buffer, of which nothing is drawn."""
    images_BHWC, _ = replay.gather(torch.arange(min(len(replay), NUM_IMAGES)))
    return FisherAnchor(frozen, fisher_diagonal(frozen, images_BHWC), strength=strength)


def fisher_diagonal(model: SegmentationModel, images_BHWC: Tensor) -> dict[str, Tensor]:
    """Mean over images (uint8) of the squared gradient of the cross-entropy with the model's own answers, by name.

    Of trainable parameters only. Each image's loss is its mean over pixels, so an image stands for what is a batch of
    images in classification. Batch norms use the image's own statistics, as they will while learning; nothing of the
    model is changed.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    device = next(model.parameters()).device
    squares = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for image_HWC in images_BHWC:
        with own_statistics(model, momentum=0.0):
            logits_BKHW = model(normalise(image_HWC[None].to(device)))
        loss = cross_entropy(logits_BKHW, logits_BKHW.argmax(dim=1))
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        for square, gradient in zip(squares.values(), gradients, strict=True):
            square += gradient.square()
    return {name: square / len(images_BHWC) for name, square in squares.items()}
