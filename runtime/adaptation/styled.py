"""Target-styled replay, the default method: true labels under the weather just seen.

Each step learns from one labelled source sample styled like the target frame (`styling.py`) and one clean sample,
which keeps what the model knows of the source. No pseudo-labels, so nothing can be confirmed by its own mistakes.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

import torch
from torch import Tensor, nn

from models.losses import cross_entropy, shrink_labels
from models.preprocess import normalise, to_tensor
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Target
from runtime.adaptation.styling import Styler

NUM_MEASURED = 64  # source samples whose roughness is measured at start


class StyledReplay:
    """Owns its replay buffer; `num_styled` samples take the target's look, `num_clean` keep their own."""

    def __init__(
        self,
        replay: ReplayBuffer,
        *,
        device: torch.device,
        generator: torch.Generator,
        num_styled: int = 1,
        num_clean: int = 1,
    ) -> None:
        self._replay = replay
        self._device = device
        self._num_styled = num_styled
        self._num_clean = num_clean
        images_BHWC, _ = replay.gather(torch.arange(min(len(replay), NUM_MEASURED)))
        self._styler = Styler(images_BHWC, generator=generator)

    def loss(self, student: nn.Module, target: Target) -> Tensor:
        """Mean cross-entropy over styled and clean samples."""
        images_BHWC, labels_BHW = self._replay.sample(self._num_styled + self._num_clean)
        style = self._styler.read(to_tensor(target.image_HWC))
        styled_BHWC = self._styler.apply(images_BHWC[: self._num_styled], style)
        batch_BHWC = torch.cat([styled_BHWC, images_BHWC[self._num_styled :]]).to(self._device)
        logits_BKHW = student(normalise(batch_BHWC))
        return cross_entropy(logits_BKHW, shrink_labels(labels_BHW, logits_BKHW.shape[-2:]).to(self._device))
