"""Logits of other classes than a network answers in: picked by number, for heads that have no row of weights per class.

    self.choice = ClassChoice()
    logits_BKHW = self.choice(logits_BKHW)       # as they are, until
    self.choice.take((3, None, 0), never=-1e3)   # three classes; the second is never answered
"""

# B batch, K classes, H height, W width

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ClassChoice(nn.Module):
    """Gives logits back as they are, until classes are taken; no part of a state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_K: Tensor | None
        self.offsets_K11: Tensor | None
        self.register_buffer("rows_K", None, persistent=False)
        self.register_buffer("offsets_K11", None, persistent=False)

    def forward(self, logits_BKHW: Tensor) -> Tensor:
        if self.rows_K is None or self.offsets_K11 is None:
            return logits_BKHW
        return logits_BKHW.index_select(1, self.rows_K) + self.offsets_K11

    def take(self, rows: Sequence[int | None], *, never: float) -> None:
        """From now on class n is the network's class rows[n]; where that is None, `never` is added to the logit."""
        self.rows_K = torch.tensor([row or 0 for row in rows])
        self.offsets_K11 = torch.tensor([never if row is None else 0.0 for row in rows])[:, None, None]
