"""Heads for any four feature maps: a linear probe, and UPerNet, which makes a pyramid of a plain ViT's equal maps.

Both are an embedding and a 1x1 classifier on it, like SegFormer's head.
"""

# B batch, C channels of a map, E embedding channels, K classes, H height, W width

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.head import Head

POOL_SIZES = (1, 2, 3, 6)


class LinearHead(Head):
    """Batch norm and a linear classifier on all maps side by side: the multi-layer linear probe of DINOv2.

    Oquab et al. 2023, arXiv 2304.07193, section 7.4. Logits come at the first map's size.
    """

    def __init__(self, channels: Sequence[int], *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed_channels = sum(channels)
        self.bn = nn.BatchNorm2d(self.embed_channels)
        self.dropout = nn.Dropout2d(0.0)
        self.classifier = nn.Conv2d(self.embed_channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The normalised maps (B, E, H, W), brought to the first one's size."""
        size_HW = features[0].shape[-2:]
        normed_BEHW: Tensor = self.bn(torch.cat([_resized(map_BCHW, size_HW) for map_BCHW in features], dim=1))
        return normed_BEHW


class UperNetHead(Head):
    """Pyramid pooling on the deepest map, a top-down feature pyramid, fusion at the finest map's size.

    Xiao et al. 2018, arXiv 1807.10221, figure 4. Maps of one stride (plain ViTs) are first brought to a quarter, half,
    once and twice that stride, as BEiT does (Bao et al. 2021, arXiv 2106.08254, appendix): strides 4, 8, 16, 32 for
    patches of 16.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        strides: Sequence[int],
        num_classes: int,
        embed_channels: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        E = embed_channels
        self.num_classes = num_classes
        self.embed_channels = E
        is_flat = len(set(strides)) == 1
        self.rescale = nn.ModuleList(_rescaled(channels) if is_flat else [nn.Identity() for _ in channels])
        self.pools = nn.ModuleList(pooled(channels[-1], E, size) for size in POOL_SIZES)
        self.bottleneck = nn.Sequential(*_conv_norm_relu(channels[-1] + len(POOL_SIZES) * E, E, kernel=3))
        self.laterals = nn.ModuleList(nn.Sequential(*_conv_norm_relu(C, E, kernel=1)) for C in channels[:-1])
        self.smooth = nn.ModuleList(nn.Sequential(*_conv_norm_relu(E, E, kernel=3)) for _ in channels[:-1])
        self.fuse = nn.Sequential(*_conv_norm_relu(len(channels) * E, E, kernel=3))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(E, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The fused embedding (B, E, H, W) at the finest map's size."""
        maps = [rescale(map_BCHW) for rescale, map_BCHW in zip(self.rescale, features, strict=True)]
        levels = [self.laterals[index](maps[index]) for index in range(len(maps) - 1)]
        levels.append(self._pooled(maps[-1]))
        for index in reversed(range(len(levels) - 1)):
            levels[index] = levels[index] + _resized(levels[index + 1], levels[index].shape[-2:])
        smoothed = [smooth(level) for smooth, level in zip(self.smooth, levels[:-1], strict=True)]
        size_HW = smoothed[0].shape[-2:]
        fused_BEHW: Tensor = self.fuse(torch.cat([_resized(m, size_HW) for m in (*smoothed, levels[-1])], dim=1))
        return fused_BEHW

    def _pooled(self, deepest_BCHW: Tensor) -> Tensor:
        size_HW = deepest_BCHW.shape[-2:]
        context = [_resized(pool(deepest_BCHW), size_HW) for pool in self.pools]
        level_BEHW: Tensor = self.bottleneck(torch.cat([deepest_BCHW, *context], dim=1))
        return level_BEHW


class SmallMapNorm(nn.BatchNorm2d):
    """Batch norm that does not mind maps of one pixel, as pooling and small crops make them: a picture by itself then
    has one value per channel and no statistics. The running ones serve, in training mode too, and stay as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def pooled(channels: int, out_channels: int, size: int) -> nn.Sequential:
    """Average pooling to a grid of `size` by `size`, 1x1 convolution, norm, ReLU."""
    conv = nn.Conv2d(channels, out_channels, 1, bias=False)
    return nn.Sequential(nn.AdaptiveAvgPool2d(size), conv, SmallMapNorm(out_channels), nn.ReLU(inplace=True))


def _conv_norm_relu(channels: int, out_channels: int, *, kernel: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return conv, SmallMapNorm(out_channels), nn.ReLU(inplace=True)


def _rescaled(channels: Sequence[int]) -> list[nn.Module]:
    """To four times, twice, once and half the size of the grid."""
    first, second, _, _ = channels
    return [
        nn.Sequential(
            nn.ConvTranspose2d(first, first, 2, stride=2),
            nn.BatchNorm2d(first),
            nn.GELU(),
            nn.ConvTranspose2d(first, first, 2, stride=2),
        ),
        nn.ConvTranspose2d(second, second, 2, stride=2),
        nn.Identity(),
        nn.MaxPool2d(2, ceil_mode=True),
    ]


def _resized(map_BCHW: Tensor, size_HW: torch.Size) -> Tensor:
    if map_BCHW.shape[-2:] == size_HW:
        return map_BCHW
    return F.interpolate(map_BCHW, size=size_HW, mode="bilinear", align_corners=False)
