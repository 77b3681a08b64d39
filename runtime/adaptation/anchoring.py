"""Two ways back to the source weights, a little with every step, for methods that learn without end and without labels.

    live, source = adaptable_tensors(student), adaptable_tensors(frozen)
    stochastic_restore(live, source, probability=0.01, generator=generator)     # a few weights, all the way
    merge_to_source(live, source, keep=0.99)                                     # all weights, a little

Both write into the live tensors and know neither models nor losses.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def stochastic_restore(
    live: Mapping[str, Tensor], source: Mapping[str, Tensor], *, probability: float, generator: torch.Generator
) -> None:
    """Each single weight goes back to its source value with `probability` in [0, 1]: W <- M W0 + (1 - M) W.

    Wang et al. 2022 (CoTTA, arXiv 2203.13591, section 3, "stochastic restoration").
    """
    with torch.no_grad():
        for name, tensor in live.items():
            is_restored = torch.rand(tensor.shape, generator=generator) < probability
            tensor.copy_(torch.where(is_restored.to(tensor.device), source[name], tensor))


def merge_to_source(live: Mapping[str, Tensor], source: Mapping[str, Tensor], *, keep: float) -> None:
    """W <- keep W + (1 - keep) W0, `keep` in [0, 1]: an exponential pull which bounds how far steps can add up.

    Marsden et al. 2024 (ROID, arXiv 2306.00650, "weight ensembling").
    """
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.lerp_(source[name], 1.0 - keep)
