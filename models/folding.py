"""Folding: adapters that are linear can be taken into the weights they stand beside, for models that only serve.

    fold_adapters(served)                # once for every version, between two frames
    logits_BKHW = served(x_B3HW)         # as quick as the network without adapters

A folded layer answers from its folded weights until it is folded again, whatever becomes of its adapter. They are a
copy, in memory that stays where it is (so that a captured graph finds it): fold the one model that serves, no others.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class Foldable(Protocol):
    """A layer with an adapter beside it that is linear."""

    def fold(self) -> None:
        """Take the adapter, as it is now, into a copy of the layer's weights, and answer from that from now on."""
        ...


def fold_adapters(model: nn.Module) -> None:
    """Fold every layer that can be; nothing happens to a model without such adapters."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Foldable):
                module.fold()
