"""Training augmentation of labelled uint8 samples: scale, crop, flip, colour, and the strong one that follows mixing.

Every function takes its generator and returns new tensors; nothing is drawn from global state. Images are (H, W, 3)
uint8 RGB, labels (H, W) uint8 train ids with 255 ignored.
"""

# B batch, H height, W width, C channels (RGB)

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from replay import colour
from replay.sampling import class_pixel_counts
from streams.frame import IGNORE_LABEL

PAD_RGB = (124, 116, 104)
"""Mean colour of ImageNet, near 0 after normalisation."""

_MAX_TRIES = 10
_BLUR_TAPS = 9


@dataclass(frozen=True, slots=True)
class CropRule:
    """Random scale and crop.

    `max_class_share` refuses crops in which one class has more of the labelled pixels (mmseg's cat_max_ratio; 1 accepts
    all). `scale_range` multiplies the sample's own size, drawn log-uniformly.
    """

    size_HW: tuple[int, int]
    scale_range: tuple[float, float] = (0.75, 1.75)
    max_class_share: float = 0.75

    def __post_init__(self) -> None:
        low, high = self.scale_range
        if not 0 < low <= high:
            raise ValueError(f"crop.scale_range must be 0 < low <= high, got {self.scale_range}")
        if min(self.size_HW) < 1:
            raise ValueError(f"crop.size_HW must be positive, got {self.size_HW}")
        if not 0 < self.max_class_share <= 1:
            raise ValueError(
                f"crop.max_class_share must be in (0, 1], got {self.max_class_share}; 1 accepts every crop"
            )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A crop should hold at least `num_pixels` (at the sample's own scale) of the class its sample was drawn for."""

    class_id: int
    num_pixels: int


@dataclass(frozen=True, slots=True)
class Window:
    """Part of the sample that will fill the crop, in the sample's pixels, and the scale it is shown at."""

    top: int
    left: int
    height: int
    width: int
    scale: float = 1.0

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def random_window(
    label_HW: Tensor, *, rule: CropRule, generator: torch.Generator, wanted: Wanted | None = None
) -> Window:
    """Tries up to ten windows for one that is varied enough and holds what is wanted, and keeps the last (mmseg,
    DAFormer). Never larger than the sample.
    """
    size_HW = (label_HW.shape[0], label_HW.shape[1])
    for _ in range(_MAX_TRIES):
        window = _any_window(size_HW, rule, generator)
        if _is_acceptable(label_HW[window.rows, window.columns], rule, wanted):
            break
    return window


def random_crop(
    image_HWC: Tensor, label_HW: Tensor, *, rule: CropRule, generator: torch.Generator, wanted: Wanted | None = None
) -> tuple[Tensor, Tensor]:
    """A randomly scaled part of the sample at `rule.size_HW`; padded with the mean colour and 255 where the sample is
    too small.

    Only its `random_window` is resized: image bilinear with antialiasing, label nearest.
    """
    window = random_window(label_HW, rule=rule, generator=generator, wanted=wanted)
    image, label = image_HWC[window.rows, window.columns], label_HW[window.rows, window.columns]
    out_height = min(rule.size_HW[0], max(1, round(window.height * window.scale)))
    out_width = min(rule.size_HW[1], max(1, round(window.width * window.scale)))
    image, label = _resize(image, label, (out_height, out_width))
    return _pad(image, label, rule.size_HW, generator)


def share_of(size_HW: tuple[int, int], share: float) -> tuple[int, int]:
    """`share` in (0, 1] of each side in multiples of 32, which waste no pixel of the network; never above the side."""
    if share == 1.0:
        return size_HW
    height, width = (min(side, max(32, round(side * share / 32) * 32)) for side in size_HW)
    return height, width


def crop_of_share(
    image_HWC: Tensor, label_HW: Tensor, share: float, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A random crop of one sample at its own scale, `share` in (0, 1] of each side; all of it, undrawn, for 1."""
    if share == 1.0:
        return image_HWC, label_HW
    rule = CropRule(share_of((label_HW.shape[0], label_HW.shape[1]), share), scale_range=(1.0, 1.0))
    return random_crop(image_HWC, label_HW, rule=rule, generator=generator)


def random_flip(image_HWC: Tensor, label_HW: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirrors left and right with probability one half."""
    if _uniform(0.0, 1.0, generator) < 0.5:
        return image_HWC.flip(1), label_HW.flip(1)
    return image_HWC, label_HW


def photometric_distortion(image_HWC: Tensor, *, strength: float = 1.0, generator: torch.Generator) -> Tensor:
    """OpenMMLab's PhotoMetricDistortion, its ranges times `strength` in [0, 1].

    Each with probability one half: brightness +-32 of 255, contrast [0.5, 1.5] before or after the colour steps,
    saturation [0.5, 1.5], hue +-36 degrees. Rounded to uint8 once at the end rather than after every step.
    """
    if strength == 0.0:
        return image_HWC
    image = image_HWC.to(torch.float32).div_(255.0)
    if _coin(generator):
        image = colour.adjust_brightness(image, _uniform(-32.0, 32.0, generator) / 255.0 * strength)
    contrast = 1.0 + _uniform(-0.5, 0.5, generator) * strength if _coin(generator) else 1.0
    is_contrast_first = _coin(generator)
    if is_contrast_first:
        image = colour.adjust_contrast(image, contrast)
    if _coin(generator):
        image = colour.adjust_saturation(image, 1.0 + _uniform(-0.5, 0.5, generator) * strength)
    if _coin(generator):
        image = colour.adjust_hue(image, _uniform(-0.1, 0.1, generator) * strength)
    if not is_contrast_first:
        image = colour.adjust_contrast(image, contrast)
    return _to_uint8(image)


def strong_augmentation(
    images_BHWC: Tensor,
    *,
    jitter: float = 0.2,
    jitter_probability: float = 0.8,
    blur_probability: float = 0.5,
    generator: torch.Generator,
) -> Tensor:
    """What DACS does to mixed images: colour jitter (brightness, contrast, saturation, hue; random order) and Gaussian
    blur.

    Coins fall once for the batch, jitter once per image; sigma ~ U(0.15, 1.15) pixels. `jitter` 0.2 is +-20 % and +-0.2
    turns of hue. Nine taps hold all but 1e-3 of the widest kernel. uint8 in, uint8 out.
    """
    is_jittered = _uniform(0.0, 1.0, generator) < jitter_probability
    is_blurred = _uniform(0.0, 1.0, generator) < blur_probability
    if not (is_jittered or is_blurred):
        return images_BHWC
    images = images_BHWC.to(torch.float32).div_(255.0)
    if is_jittered:
        images = torch.stack([_jitter(image, jitter, generator) for image in images])
    if is_blurred:
        images = gaussian_blur(images, sigma=_uniform(0.15, 1.15, generator))
    return _to_uint8(images)


def gaussian_blur(images_BHWC: Tensor, *, sigma: float) -> Tensor:
    """Separable nine-tap Gaussian blur with `sigma` in pixels, edges reflected."""
    x_BCHW = images_BHWC.permute(0, 3, 1, 2)
    blurred_BCHW: Tensor = gaussian_blur2d(x_BCHW, (_BLUR_TAPS, _BLUR_TAPS), (sigma, sigma))
    return blurred_BCHW.permute(0, 2, 3, 1)


def _any_window(size_HW: tuple[int, int], rule: CropRule, generator: torch.Generator) -> Window:
    low, high = (math.log(bound) for bound in rule.scale_range)
    scale = math.exp(_uniform(low, high, generator))
    height = min(size_HW[0], max(1, round(rule.size_HW[0] / scale)))
    width = min(size_HW[1], max(1, round(rule.size_HW[1] / scale)))
    top = int(torch.randint(size_HW[0] - height + 1, (), generator=generator))
    left = int(torch.randint(size_HW[1] - width + 1, (), generator=generator))
    return Window(top, left, height, width, scale)


def _is_acceptable(label_HW: Tensor, rule: CropRule, wanted: Wanted | None) -> bool:
    counts = class_pixel_counts(label_HW, IGNORE_LABEL)
    if wanted is not None and int(counts[wanted.class_id]) < wanted.num_pixels:
        return False
    if rule.max_class_share == 1.0:
        return True
    return int(counts.count_nonzero()) > 1 and int(counts.max()) < rule.max_class_share * int(counts.sum())


def _resize(image_HWC: Tensor, label_HW: Tensor, size_HW: tuple[int, int]) -> tuple[Tensor, Tensor]:
    if tuple(label_HW.shape) == size_HW:
        return image_HWC, label_HW
    x_BCHW = image_HWC.permute(2, 0, 1)[None]
    resized = F.interpolate(x_BCHW, size_HW, mode="bilinear", align_corners=False, antialias=True)[0].permute(1, 2, 0)
    rows, columns = (_nearest(old, new) for old, new in zip(label_HW.shape, size_HW, strict=True))
    return resized, label_HW[rows[:, None], columns[None, :]]


def _nearest(old: int, new: int) -> Tensor:
    """Index of the old pixel whose area holds the centre of each new one."""
    return ((torch.arange(new) + 0.5) * (old / new)).long().clamp_(max=old - 1)


def _pad(
    image_HWC: Tensor, label_HW: Tensor, size_HW: tuple[int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    height, width = label_HW.shape
    if (height, width) == size_HW:
        return image_HWC, label_HW
    top = int(torch.randint(size_HW[0] - height + 1, (), generator=generator))
    left = int(torch.randint(size_HW[1] - width + 1, (), generator=generator))
    image = torch.tensor(PAD_RGB, dtype=torch.uint8).repeat(*size_HW, 1)
    label = torch.full(size_HW, IGNORE_LABEL, dtype=torch.uint8)
    image[top : top + height, left : left + width] = image_HWC
    label[top : top + height, left : left + width] = label_HW
    return image, label


def _jitter(image_HWC: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    brightness, contrast, saturation = (1.0 + _uniform(-jitter, jitter, generator) for _ in range(3))
    turns = _uniform(-jitter, jitter, generator)
    for step in torch.randperm(4, generator=generator).tolist():
        if step == 0:
            image_HWC = colour.adjust_contrast(image_HWC, brightness)
        elif step == 1:
            image_HWC = colour.adjust_contrast_about_mean(image_HWC, contrast)
        elif step == 2:
            image_HWC = colour.adjust_saturation(image_HWC, saturation)
        else:
            image_HWC = colour.adjust_hue(image_HWC, turns)
    return image_HWC


def _to_uint8(image: Tensor) -> Tensor:
    return image.mul(255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)


def _coin(generator: torch.Generator) -> bool:
    return _uniform(0.0, 1.0, generator) < 0.5


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
