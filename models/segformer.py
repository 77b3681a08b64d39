"""SegFormer: a MiT encoder and the all-MLP head of Xie et al. 2021, arXiv 2105.15203, section 3.2 (equation 4).

The head keeps the published parameters (`linear_c`, `linear_fuse`, `bn`, `classifier`) but not the published order of
work. Up to the ReLU everything is linear per pixel, and so is bilinear upsampling; hence fuse(concat(up(linear_i f_i)))
= sum_i up(fuse_i linear_i f_i): the head projects at each stage's own resolution and upsamples only the terms of the
sum. `embed_plainly` is the published order.

Batch norm uses its running statistics whenever it is in eval mode, which is how online learning runs it: one frame's
statistics estimate nothing. Only supervised pretraining (training mode, everything trainable) moves them.
"""

# B batch, C channels of a stage, E embedding channels, F = 4 E, K classes, H height, W width, N points

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoder import Encoder
from models.head import Head
from models.linear import Linear, linear
from models.mit import NUM_STAGES
from models.points import interpolated_at
from models.supervision import Supervised
from models.tensorfile import CheckpointInvalid


class SegFormerHead(Head):
    """Four feature maps to class logits at the first one's resolution.

    `linear_fuse` reads the embeddings deepest stage first (c4, c3, c2, c1), like the authors' code and Hugging Face's.
    """

    def __init__(self, channels: Sequence[int], *, embed_channels: int, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.embed_channels = embed_channels
        self.num_classes = num_classes
        self.linear_c = nn.ModuleList(Linear(C, embed_channels) for C in channels)
        self.linear_fuse = nn.Conv2d(NUM_STAGES * embed_channels, embed_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(embed_channels)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(embed_channels, num_classes, 1)
        nn.init.kaiming_normal_(self.linear_fuse.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classifier.weight, std=0.01)

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The fused, normalised, rectified embedding (B, E, H, W), projected before it is upsampled."""
        sum_BHWE = self._sum(features, *self._fuse_and_shift())
        if self.bn.training:
            normed_BEHW: Tensor = self.bn(sum_BHWE.permute(0, 3, 1, 2))
            return F.relu_(normed_BEHW)
        return F.relu_(sum_BHWE).permute(0, 3, 1, 2)

    def moments(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and variance (E,), over all pixels, of what reaches batch norm; differentiable."""
        fuse_EF = self.linear_fuse.weight.flatten(1)
        var_E, mean_E = torch.var_mean(self._sum(features, fuse_EF, fuse_EF @ self._biases()), dim=(0, 1, 2))
        return mean_E, var_E

    def forward_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """Logits (B, K, N, 1) at points of the first map: `forward`'s own there, and its gradients, at N pixels' cost.

        Points are pixel numbers (`models.points`). ValueError while batch norm takes its statistics from the picture.
        """
        if self.bn.training:
            raise ValueError("sampled pixels have not the statistics of the picture; put the batch norm in eval mode")
        return super().forward_at(features, points_BN)

    def embed_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """The embedding (B, E, N, 1) at points. Maps of more pixels than points are read first and projected there."""
        size_HW = (features[0].shape[2], features[0].shape[3])
        fuse_EF, shift_E = self._fuse_and_shift()
        sum_BNE = shift_E
        for index, feature_BChw in enumerate(features):
            if feature_BChw.shape[-2] * feature_BChw.shape[-1] > points_BN.shape[1]:
                read_BNC = interpolated_at(feature_BChw, points_BN, size_HW)
                term_BNE = self._project(index, read_BNC[:, :, None].permute(0, 3, 1, 2), fuse_EF, None)[:, :, 0]
            else:
                term_BhwE = self._project(index, feature_BChw, fuse_EF, None)
                term_BNE = interpolated_at(term_BhwE.permute(0, 3, 1, 2), points_BN, size_HW)
            sum_BNE = sum_BNE + term_BNE
        return F.relu(sum_BNE).permute(0, 2, 1)[..., None]

    def embed_plainly(self, features: Sequence[Tensor]) -> Tensor:
        """The same embedding in the published order: project, upsample, concatenate, fuse. Reference for `embed`."""
        size_HW = features[0].shape[-2:]
        maps = []
        for embed, feature_BCHW in zip(self.linear_c, features, strict=True):
            map_BEHW = embed(feature_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            maps.append(F.interpolate(map_BEHW, size=size_HW, mode="bilinear", align_corners=False))
        return F.relu(self.bn(self.linear_fuse(torch.cat(maps[::-1], dim=1))))

    def _sum(self, features: Sequence[Tensor], fuse_EF: Tensor, shift_E: Tensor) -> Tensor:
        """sum_i up(fuse_i linear_i f_i) + shift, (B, H, W, E)."""
        size_HW = features[0].shape[-2:]
        sum_BHWE = self._project(0, features[0], fuse_EF, shift_E)
        for index in range(1, NUM_STAGES):
            term_BEhw = self._project(index, features[index], fuse_EF, None).permute(0, 3, 1, 2)
            term_BEHW = F.interpolate(term_BEhw, size=size_HW, mode="bilinear", align_corners=False)
            sum_BHWE.add_(term_BEHW.permute(0, 2, 3, 1))
        return sum_BHWE

    def _linears(self) -> list[Linear]:
        return [module for module in self.linear_c if isinstance(module, Linear)]

    def _biases(self) -> Tensor:
        """The embeddings' biases (F,), in the order `linear_fuse` reads them."""
        return torch.cat([linear.bias for linear in reversed(self._linears())])

    def _fuse_and_shift(self) -> tuple[Tensor, Tensor]:
        """Fuse weight (E, F) and the shift (E,) added to the sum; batch norm is folded into both while in eval mode."""
        fuse_EF = self.linear_fuse.weight.flatten(1)
        biases_F = self._biases()
        if self.bn.training or self.bn.running_mean is None or self.bn.running_var is None:
            return fuse_EF, fuse_EF @ biases_F
        scale_E = self.bn.weight * torch.rsqrt(self.bn.running_var + self.bn.eps)
        fuse_EF = fuse_EF * scale_E[:, None]
        return fuse_EF, fuse_EF @ biases_F + (self.bn.bias - scale_E * self.bn.running_mean)

    def _fuse_of(self, index: int, fuse_EF: Tensor) -> Tensor:
        """The part (E, E) of the fuse weight that reads a stage; contiguous."""
        last = (NUM_STAGES - index) * self.embed_channels
        return fuse_EF[:, last - self.embed_channels : last].contiguous()

    def _project(self, index: int, feature_BCHW: Tensor, fuse_EF: Tensor, shift_E: Tensor | None) -> Tensor:
        """fuse_i linear_i f_i (B, H_i, W_i, E) at the stage's own resolution, in whichever order multiplies less."""
        fuse_EE = self._fuse_of(index, fuse_EF)
        linear_EC = self._linears()[index].weight
        f_BHWC = feature_BCHW.permute(0, 2, 3, 1)
        num_pixels = f_BHWC.shape[0] * f_BHWC.shape[1] * f_BHWC.shape[2]
        if num_pixels < f_BHWC.shape[3]:
            return linear(linear(f_BHWC, linear_EC), fuse_EE, shift_E)
        return linear(f_BHWC, linear(fuse_EE, linear_EC.T.contiguous()), shift_E)


def segformer_head(head: Head, *, needed_by: str) -> SegFormerHead:
    """The head, where it is SegFormer's; CheckpointInvalid, naming who cannot do without, where it is another."""
    if not isinstance(head, SegFormerHead):
        raise CheckpointInvalid(
            f"{needed_by} needs SegFormer's head, and the model has a {type(head).__name__}; choose another method, "
            "or a model with that head (segformer_*, daformer_conv1_*)"
        )
    return head


class SegmentationModel(nn.Module):
    """Encoder and head: (B, 3, H, W) normalised images to logits (B, K, h, w), at stride 4 in SegFormer.

    Modules named in `frozen_modules` stay in eval mode in training mode; `models.trainable.set_trainable` fills
    it, and `adaptable_names`. `answers_in` is the precision of answers, which `models.precision` puts into effect.
    """

    def __init__(self, name: str, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.name = name
        self.encoder: Encoder = encoder
        self.head = head
        self.frozen_modules: frozenset[str] = frozenset()
        self.adaptable_names: tuple[str, ...] = ()
        self.answers_in = torch.float32

    @property
    def num_classes(self) -> int:
        return self.head.num_classes

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits_BKHW: Tensor = self.head(self.encoder(x_B3HW))
        return logits_BKHW

    def supervised(self, x_B3HW: Tensor) -> list[Supervised]:
        """What supervised training learns from (`models.supervision`); random places are of torch's own generator."""
        return self.head.supervised(self.encoder(x_B3HW))

    def train(self, mode: bool = True) -> "SegmentationModel":
        """Training mode for what learns; frozen modules (dropout, drop path, batch norm too) stay in eval mode."""
        super().train(mode)
        if mode:
            for name, module in self.named_modules():
                if name in self.frozen_modules:
                    module.training = False
        return self
