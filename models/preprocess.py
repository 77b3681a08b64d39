"""Images to network input, and logits to an answer: the two ends of a forward pass.

    x_B3HW = normalise(to_tensor(frame.image_HWC)[None].to(device))
    logits_BKhw = model(x_B3HW)
    labels_BHW, certainty_B3 = labels_of(logits_BKhw, (H, W)), certainty(logits_BKhw)

Nothing here synchronises with a device. Any image size works and needs no padding, as in the published models.
"""

# B batch, H height, W width, h w the logits' height and width, K classes


import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MEAN_RGB = (123.675, 116.28, 103.53)
STD_RGB = (58.395, 57.12, 57.375)
CONFIDENT = 0.968  # Tranheden et al. 2021 (DACS), arXiv 2007.08702, section 3.2


def to_tensor(image_HWC: np.ndarray) -> Tensor:
    """uint8 tensor over the array's own memory; a read-only or strided array is copied."""
    return torch.from_numpy(np.require(image_HWC, requirements=["C", "W"]))


def normalise(image_BHWC: Tensor) -> Tensor:
    """uint8 RGB (B, H, W, 3) to float32 (B, 3, H, W), channels_last memory, ImageNet mean 0 and deviation 1."""
    mean_3, std_3 = _statistics(image_BHWC.device)
    return image_BHWC.to(torch.float32).sub_(mean_3).div_(std_3).permute(0, 3, 1, 2)


def blank_outside(x_B3HW: Tensor, extents_B2: Tensor) -> Tensor:
    """0, the mean colour, in normalised images below the first and to the right of the second of their extents."""
    rows_B1, columns_B1 = extents_B2.to(x_B3HW.device).T[..., None]
    is_row_BH = torch.arange(x_B3HW.shape[2], device=x_B3HW.device) < rows_B1
    is_column_BW = torch.arange(x_B3HW.shape[3], device=x_B3HW.device) < columns_B1
    is_inside_B1HW = is_row_BH[:, None, :, None] & is_column_BW[:, None, None, :]
    return x_B3HW.mul(is_inside_B1HW)


def upsample_logits(logits_BKhw: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """Bilinear (align_corners False) to full size."""
    return F.interpolate(logits_BKhw, size=size_HW, mode="bilinear", align_corners=False)


def labels_of(logits_BKhw: Tensor, size_HW: tuple[int, int]) -> Tensor:
    """Most probable class of every full-size pixel, uint8 (B, H, W).

    19 classes from 64x128 to 256x512 on one core: 3 ms this way, 7 with `argmax`; 32 with classes outermost.
    """
    logits_BKhw = logits_BKhw.contiguous(memory_format=torch.channels_last)
    return upsample_logits(logits_BKhw, size_HW).max(dim=1).indices.to(torch.uint8)


def certainty(logits_BKhw: Tensor) -> Tensor:
    """Per image, at the logits' own size, (B, 3): mean top-1 probability, mean entropy in nats, and the share of pixels
    whose top-1 probability is at least CONFIDENT.
    """
    return confidence_and_certainty(logits_BKhw)[1]


def confidence_and_certainty(logits_BKhw: Tensor) -> tuple[Tensor, Tensor]:
    """The top-1 probabilities (B, h, w) themselves, and `certainty`, which they are computed for in any case."""
    log_p_BKhw = F.log_softmax(logits_BKhw.float(), dim=1)
    top_Bhw = log_p_BKhw.amax(dim=1)
    top_p_Bhw = top_Bhw.exp()
    confidence_B = top_p_Bhw.mean(dim=(1, 2))
    entropy_B = -(log_p_BKhw.exp() * log_p_BKhw).sum(dim=1).mean(dim=(1, 2))
    confident_B = (top_Bhw >= math.log(CONFIDENT)).float().mean(dim=(1, 2))
    return top_p_Bhw, torch.stack([confidence_B, entropy_B, confident_B], dim=1)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation on a device, sent there once: sending them with every frame would synchronise."""
    return torch.tensor(MEAN_RGB, device=device), torch.tensor(STD_RGB, device=device)
