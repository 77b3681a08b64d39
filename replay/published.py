"""OpenMMLab's training pipeline for segmentation, rule by rule, for results that are to compare with published ones.

With its own numbers it is mmsegmentation's (ratios 0.5 to 2, full distortion), with others DAFormer's for source images
(ratio 1, no distortion). `replay.augment` has the quicker relative that we train with by default; here the arithmetic
is theirs: sides rounded half up, OpenCV's interpolation and HSV, uint8 after every step, padding below and to the
right. Images are (H, W, 3) uint8 RGB, labels (H, W) uint8 train ids with 255 ignored.

    crops = PublishedCrops(pool, rule=PipelineRule((512, 2048), (512, 512)), rarity=rarity, seed=0, num_positions=48000)
    image_HWC, label_HW, extent_2 = crops[17]
"""

# H height, W width, C channels (RGB)

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from replay.pool import LabelledPool, position_generator
from replay.sampling import SamplingRule, build_sampler, min_pixels_at
from streams.frame import IGNORE_LABEL
from streams.images import hsv_to_rgb, rescale_image, rescale_label, rgb_to_hsv

MAX_TRIES = 10
MAX_BRIGHTNESS = 32.0
MAX_GAIN = 0.5
MAX_HUE_STEPS = 18  # of two degrees
HUE_STEPS = 180


@dataclass(frozen=True, slots=True)
class PipelineRule:
    """`scale_HW` are the sides that an image is brought within, its ratio kept, after both were multiplied with a
    number drawn from `ratio_range`; of the two, the larger bounds the longer side. `max_class_share` is what
    mmsegmentation calls cat_max_ratio (1 accepts every crop); `distortion` in [0, 1] multiplies the ranges of colours.
    """

    scale_HW: tuple[int, int]
    crop_HW: tuple[int, int]
    ratio_range: tuple[float, float] = (0.5, 2.0)
    max_class_share: float = 0.75
    distortion: float = 1.0


def keep_ratio_size(size_HW: tuple[int, int], scale_HW: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the image's ratio within the scale, whichever way round that lies; sides rounded half up."""
    factor = min(max(scale_HW) / max(size_HW), min(scale_HW) / min(size_HW))
    return max(1, int(size_HW[0] * factor + 0.5)), max(1, int(size_HW[1] * factor + 0.5))


def random_scale(rule: PipelineRule, generator: torch.Generator) -> tuple[int, int]:
    """Both sides of the scale times one ratio, cut to whole pixels."""
    ratio = _uniform(*rule.ratio_range, generator)
    return max(1, int(rule.scale_HW[0] * ratio)), max(1, int(rule.scale_HW[1] * ratio))


def random_box(label_HW: np.ndarray, rule: PipelineRule, generator: torch.Generator) -> tuple[slice, slice]:
    """Rows and columns of a crop, uniform over all places, less than the crop where the image is.

    Ten boxes are looked at; one of several classes, none of which has `max_class_share` of the labelled pixels, is
    taken at once. If none is, an eleventh is taken unseen.
    """
    box = _any_box(label_HW, rule, generator)
    if rule.max_class_share < 1.0:
        for _ in range(MAX_TRIES):
            if is_varied(label_HW[box], rule.max_class_share):
                break
            box = _any_box(label_HW, rule, generator)
    return box


def is_varied(label_HW: np.ndarray, max_class_share: float) -> bool:
    """Whether there are two classes or more, and each has less than that share of the pixels that are not ignored."""
    counts = np.bincount(label_HW.reshape(-1), minlength=256)
    counts[IGNORE_LABEL] = 0
    return bool(np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < max_class_share)


def distorted(image_HWC: np.ndarray, strength: float, generator: torch.Generator) -> np.ndarray:
    """PhotoMetricDistortion: brightness, contrast (now or at the end), saturation, hue, each with probability 1/2."""
    if strength == 0.0:
        return image_HWC
    if _coin(generator):
        reach = MAX_BRIGHTNESS * strength
        image_HWC = adjusted(image_HWC, offset=_uniform(-reach, reach, generator))
    is_contrast_first = _coin(generator)
    if is_contrast_first and _coin(generator):
        image_HWC = adjusted(image_HWC, gain=_gain(strength, generator))
    if _coin(generator):
        image_HWC = with_saturation(image_HWC, _gain(strength, generator))
    if _coin(generator):
        reach = max(1, round(MAX_HUE_STEPS * strength))
        image_HWC = with_hue(image_HWC, int(torch.randint(-reach, reach, (), generator=generator)))
    if not is_contrast_first and _coin(generator):
        image_HWC = adjusted(image_HWC, gain=_gain(strength, generator))
    return image_HWC


def adjusted(values: np.ndarray, *, gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """values * gain + offset in float32, clipped to [0, 255] and cut, not rounded, to uint8."""
    return (values.astype(np.float32) * gain + offset).clip(0, 255).astype(np.uint8)


def with_saturation(image_HWC: np.ndarray, gain: float) -> np.ndarray:
    """Saturation times `gain`, by way of HSV in uint8."""
    hsv_HWC = rgb_to_hsv(image_HWC)
    hsv_HWC[..., 1] = adjusted(hsv_HWC[..., 1], gain=gain)
    return hsv_to_rgb(hsv_HWC)


def with_hue(image_HWC: np.ndarray, steps: int) -> np.ndarray:
    """Hue turned by `steps` of two degrees, by way of HSV in uint8."""
    hsv_HWC = rgb_to_hsv(image_HWC)
    hsv_HWC[..., 0] = (hsv_HWC[..., 0].astype(np.int64) + steps) % HUE_STEPS
    return hsv_to_rgb(hsv_HWC)


def random_part(
    image_HWC: np.ndarray, label_HW: np.ndarray, *, rule: PipelineRule, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Resized, cropped, flipped with probability 1/2 and distorted; not yet padded, so at most as large as the crop."""
    size_HW = keep_ratio_size((label_HW.shape[0], label_HW.shape[1]), random_scale(rule, generator))
    image_HWC, label_HW = rescale_image(image_HWC, size_HW), rescale_label(label_HW, size_HW)
    box = random_box(label_HW, rule, generator)
    image_HWC, label_HW = image_HWC[box], label_HW[box]
    if _coin(generator):
        image_HWC, label_HW = image_HWC[:, ::-1], label_HW[:, ::-1]
    return distorted(np.ascontiguousarray(image_HWC), rule.distortion, generator), label_HW


def padded(image_HWC: np.ndarray, label_HW: np.ndarray, size_HW: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Image and label at the full size, filled below and to the right, and the rows and columns that are image.

    Labels are filled with 255. The image's filling has no meaning: it becomes 0 once it is normalised
    (`models.preprocess.blank_outside`).
    """
    height, width = label_HW.shape
    image = torch.zeros((*size_HW, 3), dtype=torch.uint8)
    label = torch.full(size_HW, IGNORE_LABEL, dtype=torch.uint8)
    image[:height, :width] = torch.from_numpy(np.ascontiguousarray(image_HWC))
    label[:height, :width] = torch.from_numpy(np.ascontiguousarray(label_HW))
    return image, label, torch.tensor((height, width))


class PublishedCrops(Dataset[tuple[Tensor, ...]]):
    """Crops by position in [0, num_positions), rare classes first (DAFormer), then the pipeline.

    A sample drawn for a class holds more than `sampling.min_pixels` pixels of it, and the pipeline runs up to ten times
    more until the crop holds more than `sampling.crop_share` of that; the last crop is taken unseen.
    """

    def __init__(
        self,
        pool: LabelledPool,
        *,
        rule: PipelineRule,
        sampling: SamplingRule,
        seed: int,
        num_positions: int,
    ) -> None:
        self._pool = pool
        self._rule = rule
        min_pixels = sampling.min_pixels or min_pixels_at(pool.size_HW)
        # "More than" is "at least one more" in the sampler's words.
        above = SamplingRule(temperature=sampling.temperature, min_pixels=min_pixels + 1)
        self._sampler = build_sampler(pool.counts_NK, rule=above, size_HW=pool.size_HW)
        self._wanted_pixels = sampling.crop_share * min_pixels
        self._seed = seed
        self._num_positions = num_positions

    def __len__(self) -> int:
        return self._num_positions

    def __getitem__(self, position: int) -> tuple[Tensor, ...]:
        """image (H, W, 3) and label (H, W), both uint8, and how many rows and columns of them are image (2,)."""
        generator = position_generator(self._seed, position)
        draw = self._sampler.draw(generator)
        image, label = (tensor.numpy() for tensor in self._pool.sample(draw.index))
        part, part_label = random_part(image, label, rule=self._rule, generator=generator)
        if draw.wanted_class is not None:
            for _ in range(MAX_TRIES):
                if np.count_nonzero(part_label == draw.wanted_class) > self._wanted_pixels:
                    break
                part, part_label = random_part(image, label, rule=self._rule, generator=generator)
        return padded(part, part_label, self._rule.crop_HW)


def _any_box(label_HW: np.ndarray, rule: PipelineRule, generator: torch.Generator) -> tuple[slice, slice]:
    rows, columns = (
        _stretch(side, wanted, generator) for side, wanted in zip(label_HW.shape, rule.crop_HW, strict=True)
    )
    return rows, columns


def _stretch(side: int, wanted: int, generator: torch.Generator) -> slice:
    first = int(torch.randint(max(side - wanted, 0) + 1, (), generator=generator))
    return slice(first, min(side, first + wanted))


def _gain(strength: float, generator: torch.Generator) -> float:
    return _uniform(1.0 - MAX_GAIN * strength, 1.0 + MAX_GAIN * strength, generator)


def _coin(generator: torch.Generator) -> bool:
    return bool(torch.randint(2, (), generator=generator))


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
