"""DAFormer's head: Hoyer et al., CVPR 2022, arXiv 2111.14887, section 3.2 and table 7.

Embeddings of 256 channels from every stage, upsampled, stacked, and fused with context: by depthwise separable atrous
convolutions at several rates (`SeparableAspp`, the paper's own), or by interlaced sparse attention
(`InterlacedAttention`). The table's third fusion, a 1 x 1 convolution, is SegFormer's head with 256 channels. All three
are the released code's (mmseg/models/decode_heads/daformer_head.py): parameters 3.7, 1.1 and 0.5 million.

Neighbours matter here, so nothing is saved by projecting before upsampling, and pixels cannot be embedded one by one.
"""

# B batch, C channels, E embedding channels, K classes, H height, W width, P side of a block, h w blocks per picture
# G groups that attend among themselves, T positions in a group

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.head import Head
from models.linear import Linear
from models.mit import NUM_STAGES

EMBED_CHANNELS = 256
RATES = (1, 6, 12, 18)
BLOCK_SIDE = 8


class DAFormerHead(Head):
    """`fuse` maps the stacked embeddings (B, 4 E, H, W) to one of (B, E, H, W); shallowest first, as published."""

    def __init__(
        self, channels: Sequence[int], *, fuse: nn.Module, num_classes: int, embed_channels: int = EMBED_CHANNELS
    ) -> None:
        super().__init__()
        self.embed_channels = embed_channels
        self.num_classes = num_classes
        self.linear_c = nn.ModuleList(Linear(C, embed_channels) for C in channels)
        self.fuse = fuse
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(embed_channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        size_HW = features[0].shape[-2:]
        maps = []
        for embed, feature_BCHW in zip(self.linear_c, features, strict=True):
            map_BEHW = embed(feature_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            maps.append(F.interpolate(map_BEHW, size=size_HW, mode="bilinear", align_corners=False))
        fused_BEHW: Tensor = self.fuse(torch.cat(maps, dim=1))
        return fused_BEHW


class ConvNormRelu(nn.Module):
    """Convolution without bias that keeps the size, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, rate: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, padding=rate * (kernel // 2), dilation=rate, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.bn(self.conv(x_BCHW))
        return F.relu(y_BCHW)


class SeparableConv(nn.Module):
    """A 3 x 3 convolution in two: of each channel by itself, then of channels at each pixel; both normed, rectified."""

    def __init__(self, in_channels: int, out_channels: int, *, rate: int) -> None:
        super().__init__()
        self.depthwise = ConvNormRelu(in_channels, in_channels, 3, rate=rate, groups=in_channels)
        self.pointwise = ConvNormRelu(in_channels, out_channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.pointwise(self.depthwise(x_BCHW))
        return y_BCHW


class SeparableAspp(nn.Module):
    """Context-aware fusion: one branch per rate, stacked, and a 3 x 3 convolution over all."""

    def __init__(self, in_channels: int, channels: int, *, rates: Sequence[int] = RATES) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            ConvNormRelu(in_channels, channels, 1) if rate == 1 else SeparableConv(in_channels, channels, rate=rate)
            for rate in rates
        )
        self.bottleneck = ConvNormRelu(len(rates) * channels, channels, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.bottleneck(torch.cat([branch(x_BCHW) for branch in self.branches], dim=1))
        return y_BCHW


class InterlacedAttention(nn.Module):
    """Interlaced sparse self-attention: Huang et al. 2019, arXiv 1907.12273. Every position meets every other in two
    steps: those at the same place of all blocks of P x P, then those of its own block. The picture is padded with zeros
    to whole blocks, half of it before.
    """

    def __init__(self, in_channels: int, channels: int, *, side: int = BLOCK_SIDE) -> None:
        super().__init__()
        self.side = side
        self.entry = ConvNormRelu(in_channels, channels, 1)
        self.long_range = Relation(channels)
        self.short_range = Relation(channels)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BEHW: Tensor = self.entry(x_BCHW)
        B, E, H, W = x_BEHW.shape
        P = self.side
        missing_H, missing_W = -H % P, -W % P
        top, left = missing_H // 2, missing_W // 2
        padded = F.pad(x_BEHW, (left, missing_W - left, top, missing_H - top))
        h, w = padded.shape[2] // P, padded.shape[3] // P
        blocks_BPPEhw = padded.view(B, E, h, P, w, P).permute(0, 3, 5, 1, 2, 4)
        related_GEhw = self.long_range(blocks_BPPEhw.reshape(-1, E, h, w))
        blocks_BhwEPP = related_GEhw.view(B, P, P, E, h, w).permute(0, 4, 5, 3, 1, 2)
        related_GEPP = self.short_range(blocks_BhwEPP.reshape(-1, E, P, P))
        whole = related_GEPP.view(B, h, w, E, P, P).permute(0, 3, 1, 4, 2, 5).reshape(B, E, h * P, w * P)
        cut: Tensor = whole[:, :, top : top + H, left : left + W]
        return cut


class Relation(nn.Module):
    """Attention with one head among all positions of a group; keys and queries are normed and rectified."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.key = ConvNormRelu(channels, channels, 1)
        self.query = ConvNormRelu(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.out = ConvNormRelu(channels, channels, 1)

    def forward(self, x_GEhw: Tensor) -> Tensor:
        q_GTE, k_GTE, v_GTE = (part(x_GEhw).flatten(2).mT for part in (self.query, self.key, self.value))
        y_GTE = F.scaled_dot_product_attention(q_GTE, k_GTE, v_GTE)
        y_GEhw: Tensor = self.out(y_GTE.mT.reshape(x_GEhw.shape))
        return y_GEhw


def separable_aspp_head(channels: Sequence[int], num_classes: int) -> DAFormerHead:
    """The paper's decoder."""
    fuse = SeparableAspp(NUM_STAGES * EMBED_CHANNELS, EMBED_CHANNELS)
    return DAFormerHead(channels, fuse=fuse, num_classes=num_classes)


def interlaced_head(channels: Sequence[int], num_classes: int) -> DAFormerHead:
    """The one with "ISA fusion" in table 7."""
    fuse = InterlacedAttention(NUM_STAGES * EMBED_CHANNELS, EMBED_CHANNELS)
    return DAFormerHead(channels, fuse=fuse, num_classes=num_classes)
