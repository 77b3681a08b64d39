"""Labelled samples for supervised training: a pool in memory or on disk, and the augmented crops drawn from it.

Crop number p is a pure function of (seed, p), whichever process makes it. So the data of a run is the same with any
number of loader processes, and to take up an interrupted run it is enough to know the position.

    pool = SamplePool.collect(samples, num_samples=305, num_classes=19)
    crops = AugmentedSamples(pool, crop=CropRule((160, 192)), photometric=0.5, seed=0, num_positions=48000)
    image_HWC, label_HW = crops[17]
"""

# N samples, H height, W width, C channels (RGB), K classes

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from replay.augment import CropRule, Wanted, photometric_distortion, random_crop, random_flip
from replay.sampling import SamplingRule, build_sampler, class_pixel_counts, min_pixels_at

_GOLDEN = 2654435761  # Knuth's multiplicative hash; torch's generator reads 32 bits of a seed


class LabelledPool(Protocol):
    """Samples by index, and the pixels of each class in each; `size_HW` is the size they have, or most have."""

    @property
    def counts_NK(self) -> Tensor: ...

    @property
    def size_HW(self) -> tuple[int, int]: ...

    def __len__(self) -> int: ...

    def sample(self, index: int) -> tuple[Tensor, Tensor]:
        """image (H, W, 3) and label (H, W), both uint8; not to be written to."""
        ...


class Readable(Protocol):
    """Labelled samples that are read anew at each access."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, slots=True, eq=False)
class SamplePool:
    """Samples of one size: uint8 images and labels, and the pixels of each class in each of them."""

    images_NHWC: Tensor
    labels_NHW: Tensor
    counts_NK: Tensor

    @classmethod
    def collect(
        cls, samples: Iterable[tuple[np.ndarray, np.ndarray]], *, num_samples: int, num_classes: int
    ) -> "SamplePool":
        """Reads `num_samples` samples into storage allocated once, the size being that of the first."""
        iterator = iter(samples)
        first = next(iterator, None)
        if first is None or num_samples < 1:
            raise ValueError("there is no labelled sample to train on; name a split that holds some")
        height, width = first[1].shape
        images_NHWC = torch.empty((num_samples, height, width, 3), dtype=torch.uint8)
        labels_NHW = torch.empty((num_samples, height, width), dtype=torch.uint8)
        counts_NK = torch.empty((num_samples, num_classes), dtype=torch.int64)
        sample: tuple[np.ndarray, np.ndarray] | None = first
        for index in range(num_samples):
            if sample is None:
                raise ValueError(f"expected {num_samples} labelled samples, got {index}")
            np.copyto(images_NHWC[index].numpy(), sample[0])
            np.copyto(labels_NHW[index].numpy(), sample[1])
            counts_NK[index] = class_pixel_counts(labels_NHW[index], num_classes)
            sample = next(iterator, None)
        return cls(images_NHWC, labels_NHW, counts_NK)

    def __len__(self) -> int:
        return self.labels_NHW.shape[0]

    @property
    def size_HW(self) -> tuple[int, int]:
        return self.labels_NHW.shape[1], self.labels_NHW.shape[2]

    def sample(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images_NHWC[index], self.labels_NHW[index]


class FilePool:
    """Samples that stay on disk, each of its own size; all are read once, to count their classes."""

    def __init__(self, samples: Readable, *, num_classes: int) -> None:
        self._samples = samples
        self.counts_NK = torch.empty((len(samples), num_classes), dtype=torch.int64)
        for index in range(len(samples)):
            label_HW = self.sample(index)[1]
            self.counts_NK[index] = class_pixel_counts(label_HW, num_classes)
            if index == 0:
                self.size_HW = (label_HW.shape[0], label_HW.shape[1])

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> tuple[Tensor, Tensor]:
        image_HWC, label_HW = self._samples[index]
        return torch.from_numpy(image_HWC), torch.from_numpy(label_HW)


class AugmentedSamples(Dataset[tuple[Tensor, ...]]):
    """Crops by position in [0, num_positions): rare classes first, then scale, crop, flip and colour."""

    def __init__(
        self,
        pool: LabelledPool,
        *,
        crop: CropRule,
        rule: SamplingRule,
        photometric: float,
        seed: int,
        num_positions: int,
    ) -> None:
        self._pool = pool
        self._crop = crop
        self._sampler = build_sampler(pool.counts_NK, rule=rule, size_HW=pool.size_HW)
        self._wanted_pixels = max(1, round(rule.crop_share * (rule.min_pixels or min_pixels_at(pool.size_HW))))
        self._photometric = photometric
        self._seed = seed
        self._num_positions = num_positions

    def __len__(self) -> int:
        return self._num_positions

    def __getitem__(self, position: int) -> tuple[Tensor, ...]:
        """image (H, W, 3) and label (H, W), both uint8 and contiguous."""
        generator = position_generator(self._seed, position)
        draw = self._sampler.draw(generator)
        wanted = None if draw.wanted_class is None else Wanted(draw.wanted_class, self._wanted_pixels)
        image, label = self._pool.sample(draw.index)
        image, label = random_crop(image, label, rule=self._crop, generator=generator, wanted=wanted)
        image, label = random_flip(image, label, generator=generator)
        image = photometric_distortion(image, strength=self._photometric, generator=generator)
        return image.contiguous(), label.contiguous()


def position_generator(seed: int, position: int) -> torch.Generator:
    """What all that is random in one crop is drawn from."""
    return torch.Generator().manual_seed((seed * 1_000_003 + position * _GOLDEN) % 2**32)
