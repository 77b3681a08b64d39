"""ReplayBuffer: labelled source samples, bounded in bytes, from which the learner is fed.

Images and labels are kept as uint8 in storage allocated once; memory pages are touched only as samples come in. When it
is full a new sample replaces a random one with the chance that keeps every sample ever offered equally likely to be
held (reservoir sampling, Vitter 1985, algorithm R). It knows nothing of models, devices' clocks or augmentation.

    buffer = ReplayBuffer((256, 512), capacity_bytes=256 << 20, generator=torch.Generator().manual_seed(0))
    for frame in source: buffer.add(frame.image_HWC, frame.label_HW)
    images_BHWC, labels_BHW = buffer.sample(2)
"""

# B batch, H height, W width, C channels (RGB), K classes, N capacity in samples

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replay.sampling import Draw, Sampler, SamplingRule, build_sampler, class_pixel_counts

NUM_CLASSES = 19
_BYTES_PER_COUNT = 8


@dataclass(frozen=True, slots=True)
class ReplayStatistics:
    """What the buffer holds and what was drawn from it. `num_bytes` counts the samples held, not the empty storage."""

    num_samples: int
    num_offered: int
    num_draws: int
    num_bytes: int
    capacity_bytes: int
    capacity_samples: int
    pixels_by_class: tuple[int, ...]
    draws_by_class: tuple[int, ...]


class ReplayBuffer:
    """Bounded store of labelled samples of one size. Not thread-safe: one owner fills it and draws from it."""

    def __init__(
        self,
        size_HW: tuple[int, int],
        *,
        capacity_bytes: int,
        generator: torch.Generator,
        rule: SamplingRule | None = None,
        num_classes: int = NUM_CLASSES,
    ) -> None:
        height, width = size_HW
        self._bytes_per_sample = height * width * 4 + num_classes * _BYTES_PER_COUNT
        capacity = capacity_bytes // self._bytes_per_sample
        if capacity < 1:
            raise ValueError(
                f"replay.capacity_bytes must hold one {height}x{width} sample ({self._bytes_per_sample} bytes), "
                f"got {capacity_bytes}"
            )
        self._capacity_bytes = capacity_bytes
        self._generator = generator
        self._rule = rule or SamplingRule()
        self._images_NHWC = torch.empty((capacity, height, width, 3), dtype=torch.uint8)
        self._labels_NHW = torch.empty((capacity, height, width), dtype=torch.uint8)
        self._counts_NK = torch.zeros((capacity, num_classes), dtype=torch.int64)
        self._draws_K = torch.zeros(num_classes, dtype=torch.int64)
        self._num_samples = 0
        self._num_offered = 0
        self._num_draws = 0
        self._sampler: Sampler | None = None

    def __len__(self) -> int:
        return self._num_samples

    @property
    def size_HW(self) -> tuple[int, int]:
        return self._labels_NHW.shape[1], self._labels_NHW.shape[2]

    @property
    def is_full(self) -> bool:
        return self._num_samples == self._labels_NHW.shape[0]

    def add(self, image_HWC: np.ndarray | Tensor, label_HW: np.ndarray | Tensor) -> int | None:
        """Copies the sample in; returns the index it now has, or None where a full buffer did not take it."""
        image, label = np.asarray(image_HWC), np.asarray(label_HW)
        if image.dtype != np.uint8 or tuple(image.shape) != (*self.size_HW, 3):
            raise ValueError(
                f"replay image must be uint8 of shape {(*self.size_HW, 3)}, got {image.dtype} {tuple(image.shape)}; "
                "resize it first"
            )
        if label.dtype != np.uint8 or tuple(label.shape) != self.size_HW:
            raise ValueError(
                f"replay label must be uint8 of shape {self.size_HW}, got {label.dtype} {tuple(label.shape)}; "
                "resize labels with nearest neighbour"
            )
        index = self._place()
        if index is None:
            return None
        np.copyto(self._images_NHWC[index].numpy(), image)
        np.copyto(self._labels_NHW[index].numpy(), label)
        self._counts_NK[index] = class_pixel_counts(self._labels_NHW[index], self._counts_NK.shape[1])
        self._sampler = None
        return index

    def draw(self, num: int) -> Tensor:
        """Indices of `num` samples (int64, shape (B,)), with replacement, by the buffer's sampling rule."""
        return torch.tensor([self.draw_one().index for _ in range(num)], dtype=torch.int64)

    def draw_any(self) -> int:
        """The index of one sample, all of them equally likely whatever the rule."""
        self._require_samples()
        self._num_draws += 1
        return int(torch.randint(self._num_samples, (), generator=self._generator))

    def draw_one(self) -> Draw:
        """One index by the buffer's sampling rule, with the class it was drawn for."""
        self._require_samples()
        if self._sampler is None:
            counts_NK = self._counts_NK[: self._num_samples]
            self._sampler = build_sampler(counts_NK, rule=self._rule, size_HW=self.size_HW)
        draw = self._sampler.draw(self._generator)
        if draw.wanted_class is not None:
            self._draws_K[draw.wanted_class] += 1
        self._num_draws += 1
        return draw

    def gather(self, indices_B: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of the samples at `indices_B`: images_BHWC and labels_BHW, both uint8."""
        if bool(((indices_B < 0) | (indices_B >= self._num_samples)).any()):
            raise ValueError(f"replay indices must be in [0, {self._num_samples}), got {indices_B.tolist()}")
        return self._images_NHWC[indices_B], self._labels_NHW[indices_B]

    def sample(self, num: int) -> tuple[Tensor, Tensor]:
        """`num` drawn samples: images_BHWC and labels_BHW, both uint8 and owned by the caller."""
        return self.gather(self.draw(num))

    def statistics(self) -> ReplayStatistics:
        return ReplayStatistics(
            num_samples=self._num_samples,
            num_offered=self._num_offered,
            num_draws=self._num_draws,
            num_bytes=self._num_samples * self._bytes_per_sample,
            capacity_bytes=self._capacity_bytes,
            capacity_samples=self._labels_NHW.shape[0],
            pixels_by_class=tuple(self._counts_NK[: self._num_samples].sum(dim=0).tolist()),
            draws_by_class=tuple(self._draws_K.tolist()),
        )

    def state(self) -> dict[str, Any]:
        """What a later `load_state` needs to go on drawing the same samples; the samples themselves are not in it."""
        return {
            "generator": self._generator.get_state(),
            "num_offered": self._num_offered,
            "num_draws": self._num_draws,
            "draws_by_class": self._draws_K.tolist(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up from `state`; the caller has added the same samples again, in the same order."""
        self._generator.set_state(state["generator"])
        self._num_offered = state["num_offered"]
        self._num_draws = state["num_draws"]
        self._draws_K = torch.tensor(state["draws_by_class"], dtype=torch.int64)

    def _require_samples(self) -> None:
        if self._num_samples == 0:
            raise ValueError("the replay buffer is empty; add labelled source samples before drawing")

    def _place(self) -> int | None:
        self._num_offered += 1
        if not self.is_full:
            self._num_samples += 1
            return self._num_samples - 1
        slot = int(torch.randint(self._num_offered, (), generator=self._generator))
        return slot if slot < self._num_samples else None
