"""DeepLab's heads for dilated encoders: atrous spatial pyramid pooling, plain (V2) and with a decoder (V3+).

They read feature maps of an encoder dilated to stride 8 (V2) or 16 (V3+); `models.timm_models` sees to that.
"""

# B batch, C channels of a map, E embedding channels, K classes, H height, W width

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.dense_heads import SmallMapNorm, pooled
from models.head import Head
from models.points import at_points

V2_RATES = (6, 12, 18, 24)
V3_RATES = (6, 12, 18)
LOW_CHANNELS = 48


class DeepLabV2Head(Head):
    """Four dilated 3x3 classifiers on the deepest map, summed.

    Chen et al. 2017, arXiv 1606.00915, section 3.2 ("ASPP-L": rates 6, 12, 18, 24). The embedding is the map itself.
    """

    def __init__(self, channels: Sequence[int], *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed_channels = channels[-1]
        self.branches = nn.ModuleList(
            nn.Conv2d(channels[-1], num_classes, 3, padding=rate, dilation=rate) for rate in V2_RATES
        )
        for branch in self.branches:
            assert isinstance(branch, nn.Conv2d)
            nn.init.normal_(branch.weight, std=0.01)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The deepest map (B, E, H, W)."""
        return features[-1]

    def classify(self, embedding_BEHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an embedding."""
        logits = [branch(embedding_BEHW) for branch in self.branches]
        return torch.stack(logits).sum(dim=0)

    def forward_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """Logits (B, K, N, 1) at points; classifiers see the points' neighbours, so nothing is saved."""
        return at_points(self(features), points_BN)


class DeepLabV3PlusHead(Head):
    """Dilated branches and image pooling on the deepest map, joined with the first map before two 3x3 convolutions.

    Chen et al. 2018, arXiv 1802.02611, section 3.1 and figure 2 (rates 6, 12, 18 at stride 16; 48 channels of the first
    map; the decoder's ends as in section 4.1: two 3x3 convolutions of 256). Logits come at the first map's size.
    """

    def __init__(
        self, channels: Sequence[int], *, num_classes: int, embed_channels: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        E = embed_channels
        self.num_classes = num_classes
        self.embed_channels = E
        self.branches = nn.ModuleList(
            [_conv(channels[-1], E, 1), *(_conv(channels[-1], E, 3, rate=rate) for rate in V3_RATES)]
        )
        self.image_pool = pooled(channels[-1], E, 1)
        self.project = _conv((len(V3_RATES) + 2) * E, E, 1)
        self.low = _conv(channels[0], LOW_CHANNELS, 1)
        self.decode = nn.Sequential(*_conv(E + LOW_CHANNELS, E, 3), *_conv(E, E, 3))
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(E, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The decoder's embedding (B, E, H, W) at the first map's size."""
        low_BCHW, deep_BChw = features[0], features[-1]
        pooled_BEhw = self.image_pool(deep_BChw).expand(-1, -1, *deep_BChw.shape[-2:])
        aspp_BEhw = self.project(torch.cat([*(branch(deep_BChw) for branch in self.branches), pooled_BEhw], dim=1))
        aspp_BEHW = F.interpolate(aspp_BEhw, size=low_BCHW.shape[-2:], mode="bilinear", align_corners=False)
        embedding_BEHW: Tensor = self.decode(torch.cat([aspp_BEHW, self.low(low_BCHW)], dim=1))
        return embedding_BEHW


def _conv(channels: int, out_channels: int, kernel: int, *, rate: int = 1) -> nn.Sequential:
    padding = rate if kernel == 3 else 0
    conv = nn.Conv2d(channels, out_channels, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, SmallMapNorm(out_channels), nn.ReLU(inplace=True))
