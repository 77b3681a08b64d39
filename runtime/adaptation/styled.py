"""Target-styled replay, the default method: true labels under the weather just seen.

Each step learns from one labelled source sample styled like the target frame (`styling.py`) and one clean sample,
which keeps what the model knows of the source. No pseudo-labels, so nothing can be confirmed by its own mistakes.
"""

# B batch, H height, W width (of images; a quarter of it for logits), C channels, K classes

import torch
from torch import Tensor, nn

from models.losses import cross_entropy, shrink_labels
from models.preprocess import normalise
from replay.buffer import ReplayBuffer
from runtime.adaptation.method import Target
from runtime.adaptation.styling import style_like


class StyledReplay:
    """Owns its replay buffer; `num_styled` samples take the target's look, `num_clean` keep their own."""

    def __init__(self, replay: ReplayBuffer, *, device: torch.device, num_styled: int = 1, num_clean: int = 1) -> None:
        self._replay = replay
        self._device = device
        self._num_styled = num_styled
        self._num_clean = num_clean

    def loss(self, student: nn.Module, target: Target) -> Tensor:
        """Mean cross-entropy over styled and clean samples."""
        images_BHWC, labels_BHW = self._replay.sample(self._num_styled + self._num_clean)
        images_BHWC, labels_BHW = images_BHWC.to(self._device), labels_BHW.to(self._device)
        target_HWC = torch.as_tensor(target.image_HWC).to(self._device)
        styled_BHWC = style_like(images_BHWC[: self._num_styled], target_HWC)
        batch_BHWC = torch.cat([styled_BHWC, images_BHWC[self._num_styled :]])
        logits_BKHW = student(normalise(batch_BHWC))
        return cross_entropy(logits_BKHW, shrink_labels(labels_BHW, logits_BKHW.shape[-2:]))
