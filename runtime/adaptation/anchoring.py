"""Two ways back to the source weights, a little with every step, for methods that learn without end and without labels.

    live, source = adaptable_tensors(student), adaptable_tensors(frozen)
    stochastic_restore(live, source, probability=0.01, generator=generator)     # a few weights, all the way
    merge_to_source(live, source, keep=0.99)                                     # all weights, a little

Both write into the live tensors and know neither models nor losses. `RestoreByChance` and `MergeToSource` are the same
as rules that any method can be joined with (`components.py`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors
from runtime.adaptation.method import Materials


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


class RestoreByChance:
    """A rule: after every step each adaptable weight goes back to the source with `probability`."""

    def __init__(self, given: Materials, *, probability: float) -> None:
        self._source = adaptable_tensors(given.frozen)
        self._generator = given.generator
        self._probability = probability

    def settle(self, student: SegmentationModel) -> None:
        live = adaptable_tensors(student)
        stochastic_restore(live, self._source, probability=self._probability, generator=self._generator)


class MergeToSource:
    """A rule: after every step all adaptable weights go `share` of the way back to the source."""

    def __init__(self, given: Materials, *, share: float) -> None:
        self._source = adaptable_tensors(given.frozen)
        self._share = share

    def settle(self, student: SegmentationModel) -> None:
        merge_to_source(adaptable_tensors(student), self._source, keep=1.0 - self._share)
