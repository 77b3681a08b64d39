"""The frozen prefix: what the stages before the first one that learns make of an image never changes, so keep it.

    prefix = FrozenPrefix(student, capacity_bytes=64 << 20)
    features = features_from(student, prefix.of(key, lambda: normalise(image_BHWC)))     # image only where not kept
    logits_BKHW = student.head(features)

Entries are kept by any hashable key, an index of the replay or a frame's number, and never grow stale: what is frozen
stays so. The least recently used ones go when the bytes are used up. Numbers are the same bit by bit whether a prefix
was kept or computed: every image goes through it by itself. It knows neither replay nor frames.
"""

# B batch (1 for a prefix), C channels, H height, W width

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.mit import NUM_STAGES
from models.segformer import SegmentationModel


@dataclass(frozen=True, slots=True)
class PrefixStatistics:
    """What is held, and how often it was there when asked for."""

    num_entries: int
    num_bytes: int
    num_hits: int
    num_misses: int


def num_frozen_stages(model: SegmentationModel) -> int:
    """Stages before the first that holds an adaptable tensor: 0 to 4. 0 where the encoder cannot go on from there."""
    names = [name.removeprefix("encoder.") for name in model.adaptable_names if name.startswith("encoder.")]
    if names and not model.encoder.is_restartable:
        return 0
    return min((model.encoder.stage_of(name) for name in names), default=NUM_STAGES)


def features_from(model: SegmentationModel, prefix: Sequence[Tensor]) -> list[Tensor]:
    """All four feature maps, given those of the first stages, one at least; with gradients where they are enabled."""
    return [*prefix, *model.encoder.run_stages(prefix[-1], start=len(prefix))]


class FrozenPrefix:
    """One owner. Holds at most `capacity_bytes`; an entry that is larger is computed and not kept."""

    def __init__(self, model: SegmentationModel, *, capacity_bytes: int) -> None:
        if capacity_bytes < 0:
            raise ValueError(f"prefix.capacity_bytes must be 0 or more, got {capacity_bytes}; 0 keeps nothing")
        self._encoder = model.encoder
        self._num_stages = num_frozen_stages(model)
        self._capacity_bytes = capacity_bytes
        self._entries: OrderedDict[Hashable, tuple[Tensor, ...]] = OrderedDict()
        self._num_bytes = 0
        self._num_hits = 0
        self._num_misses = 0

    @property
    def num_stages(self) -> int:
        """How many stages are frozen; where none is, nothing is kept and `of` gives nothing."""
        return self._num_stages

    def of(self, key: Hashable, image: Callable[[], Tensor]) -> tuple[Tensor, ...]:
        """The prefix's feature maps of one image, (1, C, H, W) each, without a graph and not to be written to.

        `image` gives the normalised (1, 3, H, W) and is only called where the entry is not there.
        """
        if self._num_stages == 0:
            return ()
        kept = self._entries.get(key)
        if kept is not None:
            self._entries.move_to_end(key)
            self._num_hits += 1
            return kept
        with torch.no_grad():
            features = tuple(self._encoder.run_stages(image(), stop=self._num_stages))
        self._num_misses += 1
        self._keep(key, features)
        return features

    def statistics(self) -> PrefixStatistics:
        return PrefixStatistics(len(self._entries), self._num_bytes, self._num_hits, self._num_misses)

    def _keep(self, key: Hashable, features: tuple[Tensor, ...]) -> None:
        num_bytes = _bytes_of(features)
        if not 0 < num_bytes <= self._capacity_bytes:
            return
        self._entries[key] = features
        self._num_bytes += num_bytes
        while self._num_bytes > self._capacity_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._num_bytes -= _bytes_of(dropped)


def _bytes_of(features: Sequence[Tensor]) -> int:
    return sum(map_BCHW.numel() * map_BCHW.element_size() for map_BCHW in features)
