"""Images to network input, and logits to an answer: the two ends of a forward pass.

    x_B3HW = normalise(to_tensor(frame.image_HWC)[None].to(device))
    logits_BKhw = model(x_B3HW)
    labels_BHW, confidence_B, entropy_B = labels_of(logits_BKhw, (H, W)), *certainty(logits_BKhw)

Nothing here synchronises with a device. Any image size works; one that is not a multiple of 32 may be padded
(`pad_to_multiple`, then crop the answer) or given as it is, which is cheaper and what the published models do.
"""

# B batch, H height, W width, h w the logits' height and width, K classes

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)


def to_tensor(image_HWC: np.ndarray) -> Tensor:
    """uint8 tensor over the array's own memory; a read-only or strided array is copied."""
    return torch.from_numpy(np.require(image_HWC, requirements=["C", "W"]))


def normalise(image_BHWC: Tensor) -> Tensor:
    """uint8 RGB (B, H, W, 3) to float32 (B, 3, H, W), channels_last memory, ImageNet mean 0 and deviation 1."""
    mean_3, std_3 = _statistics(image_BHWC.device)
    return image_BHWC.to(torch.float32).sub_(mean_3).div_(std_3).permute(0, 3, 1, 2)


def denormalise(x_B3HW: Tensor) -> Tensor:
    """Inverse of `normalise`, rounded and clamped to uint8 (B, H, W, 3)."""
    mean_3, std_3 = _statistics(x_B3HW.device)
    return (x_B3HW.permute(0, 2, 3, 1) * std_3 + mean_3).round_().clamp_(0, 255).to(torch.uint8)


def pad_to_multiple(x_B3HW: Tensor, *, multiple: int = 32) -> Tensor:
    """Repeat the last row and column until both sides divide by `multiple`; the same tensor when they do already."""
    H, W = x_B3HW.shape[-2:]
    bottom, right = -H % multiple, -W % multiple
    if bottom == 0 and right == 0:
        return x_B3HW
    padded = F.pad(x_B3HW, (0, right, 0, bottom), mode="replicate")
    return padded.contiguous(memory_format=torch.channels_last)


def upsample_logits(logits_BKhw: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """Bilinear (align_corners False) to full size."""
    return F.interpolate(logits_BKhw, size=size_HW, mode="bilinear", align_corners=False)


def labels_of(logits_BKhw: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """Most probable class of every full-size pixel, uint8 (B, H, W).

    19 classes from 64x128 to 256x512 on one core: 3 ms this way, 7 with `argmax`; 32 with classes outermost.
    """
    logits_BKhw = logits_BKhw.contiguous(memory_format=torch.channels_last)
    return upsample_logits(logits_BKhw, size_HW).max(dim=1).indices.to(torch.uint8)


def certainty(logits_BKhw: Tensor) -> tuple[Tensor, Tensor]:
    """Per image, at the logits' own size: mean top-1 probability in [0, 1] and mean entropy in nats, each (B,)."""
    log_p_BKhw = F.log_softmax(logits_BKhw.float(), dim=1)
    p_BKhw = log_p_BKhw.exp()
    confidence_B = p_BKhw.amax(dim=1).mean(dim=(1, 2))
    entropy_B = -(p_BKhw * log_p_BKhw).sum(dim=1).mean(dim=(1, 2))
    return confidence_B, entropy_B


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation on a device, sent there once: sending them with every frame would synchronise."""
    return torch.tensor(MEAN_RGB, device=device), torch.tensor(STD_RGB, device=device)
