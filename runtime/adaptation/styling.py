"""Target styling: labelled source samples re-lit to look like the frame just seen.

Per horizontal band, each channel of the source takes the target's mean and deviation (Reinhard et al. 2001, "Color
transfer between images", eq. 10-11, in RGB and by bands: veils, spray and headlights change with image height).
Labels stay true, so what is learnt from the result cannot collapse.
"""

# B batch, H height, W width, C channels, S bands

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_BANDS = 8
MAX_GAIN = 4.0  # a nearly flat source band must not be blown up into noise


def style_like(images_BHWC: Tensor, target_HWC: Tensor, *, num_bands: int = NUM_BANDS) -> Tensor:
    """uint8 source images with the band statistics of a uint8 target of the same size; uint8 of the same shape.

    Statistics are interpolated linearly between band centres, so no band edge shows.
    """
    source_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
    target_1CHW = target_HWC.permute(2, 0, 1)[None].float()
    source_mean, source_deviation = _row_statistics(source_BCHW, num_bands)
    target_mean, target_deviation = _row_statistics(target_1CHW, num_bands)
    gain = (target_deviation / source_deviation).clamp_(max=MAX_GAIN)
    styled_BCHW = (source_BCHW - source_mean).mul_(gain).add_(target_mean)
    return styled_BCHW.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _row_statistics(image_BCHW: Tensor, num_bands: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation per row, (B, C, H, 1) each, interpolated from bands."""
    height = image_BCHW.shape[2]
    mean_BCS1 = F.adaptive_avg_pool2d(image_BCHW, (num_bands, 1))
    square_BCS1 = F.adaptive_avg_pool2d(image_BCHW.square(), (num_bands, 1))
    deviation_BCS1 = (square_BCS1 - mean_BCS1.square()).clamp_(min=1.0).sqrt_()
    rows = torch.cat([mean_BCS1, deviation_BCS1], dim=1)
    rows = F.interpolate(rows, size=(height, 1), mode="bilinear", align_corners=False)
    mean, deviation = rows.chunk(2, dim=1)
    return mean, deviation
