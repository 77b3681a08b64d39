"""Which sample to draw next: uniformly, or rare classes first.

Rare-class sampling follows DAFormer (Hoyer et al., CVPR 2022, eq. 11-12): a class is drawn with a probability that
falls with its share of all pixels, then a sample that holds enough of it. It knows counts of pixels only, never images.

    sampler = RareClassSampler(counts_NK, min_pixels=60)
    draw = sampler.draw(generator)
"""

# N samples, K classes, H height, W width

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

DAFORMER_MIN_PIXEL_SHARE = 3000 / (1024 * 2048)
"""DAFormer asks for 3000 pixels of the drawn class in a Cityscapes image; as a share it holds at any size."""
CROP_SHARE = 0.5
"""A crop should keep half the pixels asked of its sample (DAFormer's min_crop_ratio, for crops of 512)."""


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """How samples are drawn. `temperature` None is uniform over samples; else DAFormer's rare-class sampling.

    `min_pixels` is what a sample must hold of the drawn class; None scales DAFormer's 3000 of 1024x2048 to the
    samples' size. Crops are drawn anew, a few times, until they hold `crop_share` of that.
    """

    temperature: float | None = 0.01
    min_pixels: int | None = None
    crop_share: float = CROP_SHARE

    def __post_init__(self) -> None:
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(
                f"replay.temperature must be positive or none, got {self.temperature}; none draws uniformly"
            )
        if self.min_pixels is not None and self.min_pixels < 1:
            raise ValueError(f"replay.min_pixels must be at least 1, got {self.min_pixels}")


@dataclass(frozen=True, slots=True)
class Draw:
    """`index` of the sample; `wanted_class` is the class it was drawn for, None where it was drawn uniformly."""

    index: int
    wanted_class: int | None


class Sampler(Protocol):
    """Chooses the next sample; everything random comes from the generator."""

    def draw(self, generator: torch.Generator) -> Draw: ...


def build_sampler(counts_NK: Tensor, *, rule: SamplingRule, size_HW: tuple[int, int]) -> Sampler:
    """The sampler of a rule, for samples of one size with these pixel counts."""
    if rule.temperature is None:
        return UniformSampler(counts_NK.shape[0])
    min_pixels = rule.min_pixels or min_pixels_at(size_HW)
    return RareClassSampler(counts_NK, min_pixels=min_pixels, temperature=rule.temperature)


def class_pixel_counts(label_HW: Tensor, num_classes: int) -> Tensor:
    """Pixels of each class, int64 of shape (K,); ids outside [0, num_classes) such as 255 are left out."""
    return torch.bincount(label_HW.reshape(-1), minlength=256)[:num_classes]


def rare_class_probabilities(pixel_counts_K: Tensor, *, temperature: float = 0.01) -> Tensor:
    """p_c = softmax((1 - f_c) / T) over the classes that occur, f_c being the share of pixels; others get 0.

    Float64 of shape (K,), sums to 1. An infinite temperature is uniform over the classes that occur.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; use math.inf for uniform classes")
    occurs_K = pixel_counts_K > 0
    if not bool(occurs_K.any()):
        raise ValueError("pixel_counts_K holds no labelled pixel; rare-class sampling needs at least one class")
    counts_K = pixel_counts_K.to(torch.float64)
    logits_K = (1.0 - counts_K / counts_K.sum()) / temperature
    return torch.softmax(logits_K.masked_fill(~occurs_K, -math.inf), dim=0)


def min_pixels_at(size_HW: tuple[int, int]) -> int:
    """DAFormer's 3000 pixels carried over to another image size, at least 1."""
    return max(1, round(DAFORMER_MIN_PIXEL_SHARE * size_HW[0] * size_HW[1]))


class UniformSampler:
    """Every sample equally often in expectation."""

    def __init__(self, num_samples: int) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}; add labelled samples first")
        self._num_samples = num_samples

    def draw(self, generator: torch.Generator) -> Draw:
        return Draw(int(torch.randint(self._num_samples, (), generator=generator)), None)


class RareClassSampler:
    """Draws a class by `rare_class_probabilities`, then uniformly one of the samples with at least `min_pixels` of it.

    Classes that no sample holds in that amount are never drawn; where that leaves no class at all, draws are uniform.
    """

    def __init__(self, counts_NK: Tensor, *, min_pixels: int, temperature: float = 0.01) -> None:
        self._fallback = UniformSampler(counts_NK.shape[0])
        holds_NK = counts_NK >= max(1, min_pixels)
        self._samples_by_class = [torch.nonzero(column).flatten().tolist() for column in holds_NK.unbind(1)]
        eligible_K = holds_NK.any(dim=0)
        self._probabilities_K: Tensor | None = None
        if bool(eligible_K.any()):
            # Frequencies are those of the whole set (DAFormer); only the choice is restricted to what can be served.
            p_K = rare_class_probabilities(counts_NK.sum(dim=0), temperature=temperature) * eligible_K
            self._probabilities_K = p_K / p_K.sum() if float(p_K.sum()) > 0 else eligible_K / eligible_K.sum()

    @property
    def probabilities_K(self) -> Tensor | None:
        """Chance of each class to be drawn; None where draws are uniform over samples."""
        return self._probabilities_K

    def draw(self, generator: torch.Generator) -> Draw:
        if self._probabilities_K is None:
            return self._fallback.draw(generator)
        wanted_class = int(torch.multinomial(self._probabilities_K, 1, generator=generator))
        candidates = self._samples_by_class[wanted_class]
        return Draw(candidates[int(torch.randint(len(candidates), (), generator=generator))], wanted_class)
