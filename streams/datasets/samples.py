"""Labelled samples by number, for training on a data set and for replaying it."""

# H height, W width, C channels (RGB)

import dataclasses
import os

import numpy as np

from streams.datasets.labels import CITYSCAPES
from streams.datasets.splits import Split
from streams.protocol import StreamNotOpened


class LabelledSamples:
    """Entries of a split that have a label file, read anew at each access; pickles small, so workers may have copies.

    Samples come at `size_HW`, at that of the first image by default, or each at its own by `keeps_sizes`.
    `num_unlabelled` entries were left out. A damaged file raises StreamNotOpened naming it: a training set is repaired,
    not skipped over.
    """

    def __init__(self, split: Split, *, size_HW: tuple[int, int] | None = None, keeps_sizes: bool = False) -> None:
        self._entries = tuple(
            entry for entry in split.entries if entry.label is not None and os.path.exists(entry.label)
        )
        self._loader = dataclasses.replace(split.loader(size_HW), keeps_sizes=keeps_sizes)
        self.num_unlabelled = len(split.entries) - len(self._entries)
        self.class_names = CITYSCAPES.names
        if not self._entries:
            raise StreamNotOpened(
                f"--data: none of the {len(split.entries)} images of {split.layout.name} split {split.name} has a "
                "label file; unpack the annotations beside the images"
            )

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(image_HWC uint8 RGB, label_HW uint8 train ids); IndexError past the end."""
        entry = self._entries[number]
        loaded = self._loader.load(entry)
        if loaded.image_HWC is None or loaded.label_HW is None:
            culprit = entry.image if loaded.image_HWC is None else entry.label
            raise StreamNotOpened(
                f"--data: {culprit} is damaged or does not fit its partner (expected image and label map of one size); "
                "replace both, or take them out of the split"
            )
        return loaded.image_HWC, loaded.label_HW
