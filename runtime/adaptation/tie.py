"""The output tie: what adapters make of a stage's input may not stray far from what the frozen stage makes of it.

EcoTTA, Song et al., CVPR 2023, arXiv 2303.01904, section 3.2 ("self-distilled regularization"): the sum over parts of
the network of ||adapted output - frozen output||_1, here over the encoder's stages, which are fed what the adapted ones
before them gave. As in the authors' sample code the input of each part and the frozen output are constants and the
distance is a mean over elements. Stages before the first that learns are equal and left out. Needs no labels:
source-free.
"""

# B batch, C channels, H height, W width

import torch
from torch import Tensor

from models.encoder import ModelUnsuitable
from models.mit import NUM_STAGES
from models.prefix import num_frozen_stages
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from replay.augment import crop_of_share
from runtime.adaptation.method import Materials, Target


class OutputTie:
    """A term; `weight` multiplies its loss."""

    def __init__(self, given: Materials, *, weight: float = 0.5) -> None:
        if not given.frozen.encoder.is_restartable:
            name = given.frozen.name
            raise ModelUnsuitable(f"--with tie: the stages of {name} cannot be run one by one; leave it out")
        self._frozen = given.frozen
        self._device = given.device
        self._generator = given.generator
        self._weight = weight

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """Of the frame; None where no stage of the encoder learns."""
        first = num_frozen_stages(student)
        if first == NUM_STAGES:
            return None
        image_HWC, _ = crop_of_share(
            to_tensor(target.image_HWC), to_tensor(target.labels_HW), target.crop_share, generator=self._generator
        )
        x_BCHW = normalise(image_HWC[None].to(self._device))
        with torch.no_grad():
            for features_BCHW in student.encoder.run_stages(x_BCHW, stop=first):
                x_BCHW = features_BCHW
        total = x_BCHW.new_zeros(())
        for index in range(first, NUM_STAGES):
            (adapted_BCHW,) = student.encoder.run_stages(x_BCHW, start=index, stop=index + 1)
            with torch.no_grad():
                (frozen_BCHW,) = self._frozen.encoder.run_stages(x_BCHW, start=index, stop=index + 1)
            total = total + (adapted_BCHW - frozen_BCHW).abs().mean()
            x_BCHW = adapted_BCHW.detach()
        return self._weight * total
