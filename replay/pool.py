"""Labelled samples for supervised training: a pool in memory and the augmented crops drawn from it.

Crop number p is a pure function of (seed, p), whichever process makes it. So the data of a run is the same with any
number of loader processes, and to take up an interrupted run it is enough to know the position.

    pool = SamplePool.collect(samples, num_samples=305, num_classes=19)
    crops = AugmentedSamples(pool, crop=CropRule((160, 192)), photometric=0.5, seed=0, num_positions=48000)
    image_HWC, label_HW = crops[17]
"""

# N samples, H height, W width, C channels (RGB), K classes

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from replay.augment import CropRule, Wanted, photometric_distortion, random_crop, random_flip
from replay.sampling import SamplingRule, build_sampler, class_pixel_counts, min_pixels_at

WANTED_SHARE = 0.5
"""A crop should keep half the pixels asked of its sample (DAFormer's min_crop_ratio)."""

_GOLDEN = 2654435761  # Knuth's multiplicative hash; torch's generator reads 32 bits of a seed


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


class AugmentedSamples(Dataset[tuple[Tensor, Tensor]]):
    """Crops by position in [0, num_positions): rare classes first, then scale, crop, flip and colour."""

    def __init__(
        self,
        pool: SamplePool,
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
        self._wanted_pixels = max(1, round(WANTED_SHARE * (rule.min_pixels or min_pixels_at(pool.size_HW))))
        self._photometric = photometric
        self._seed = seed
        self._num_positions = num_positions

    def __len__(self) -> int:
        return self._num_positions

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        """image (H, W, 3) and label (H, W), both uint8 and contiguous."""
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + position * _GOLDEN) % 2**32)
        draw = self._sampler.draw(generator)
        wanted = None if draw.wanted_class is None else Wanted(draw.wanted_class, self._wanted_pixels)
        image, label = self._pool.images_NHWC[draw.index], self._pool.labels_NHW[draw.index]
        image, label = random_crop(image, label, rule=self._crop, generator=generator, wanted=wanted)
        image, label = random_flip(image, label, generator=generator)
        image = photometric_distortion(image, strength=self._photometric, generator=generator)
        return image.contiguous(), label.contiguous()
