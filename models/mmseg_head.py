"""mmsegmentation's variant of the SegFormer head, which rectifies embeddings before it upsamples them.

https://github.com/open-mmlab/mmsegmentation, mmseg/models/decode_heads/segformer_head.py. Its embeddings are batch
normed too; those norms' running statistics are folded into the linear layers when weights are converted
(`models.rearrangement`), so here they are plain linear layers, and their statistics never move.

Upsampling and fusing remain linear, so the head still projects first. Order of `linear_fuse`: deepest first, as in
`SegFormerHead`.
"""

# B batch, C channels of a stage, E embedding channels, F = 4 E, H height, W width, N points

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.linear import linear
from models.points import interpolated_at
from models.segformer import SegFormerHead

EMBED_CHANNELS = 256  # on every size of encoder: configs/_base_/models/segformer_mit-b0.py, which the others inherit


class RectifiedHead(SegFormerHead):
    """relu(sum_i up(fuse_i relu(linear_i f_i)) + shift) in place of relu(sum_i up(fuse_i linear_i f_i) + shift)."""

    def embed_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """Every map is projected whole: what is rectified cannot be interpolated first."""
        size_HW = (features[0].shape[2], features[0].shape[3])
        fuse_EF, sum_BNE = self._fuse_and_shift()
        for index, feature_BChw in enumerate(features):
            term_BhwE = self._project(index, feature_BChw, fuse_EF, None)
            sum_BNE = sum_BNE + interpolated_at(term_BhwE.permute(0, 3, 1, 2), points_BN, size_HW)
        return F.relu(sum_BNE).permute(0, 2, 1)[..., None]

    def embed_plainly(self, features: Sequence[Tensor]) -> Tensor:
        """The same embedding in the published order: project, rectify, upsample, concatenate, fuse."""
        size_HW = features[0].shape[-2:]
        maps = []
        for embed, feature_BCHW in zip(self.linear_c, features, strict=True):
            map_BEHW = embed(feature_BCHW.permute(0, 2, 3, 1)).relu().permute(0, 3, 1, 2)
            maps.append(F.interpolate(map_BEHW, size=size_HW, mode="bilinear", align_corners=False))
        return F.relu(self.bn(self.linear_fuse(torch.cat(maps[::-1], dim=1))))

    def _biases(self) -> Tensor:
        """None of them passes the ReLU: they are added before it."""
        return self.linear_fuse.weight.new_zeros(self.linear_fuse.weight.shape[1])

    def _project(self, index: int, feature_BCHW: Tensor, fuse_EF: Tensor, shift_E: Tensor | None) -> Tensor:
        embedding_BHWE: Tensor = self.linear_c[index](feature_BCHW.permute(0, 2, 3, 1))
        return linear(embedding_BHWE.relu(), self._fuse_of(index, fuse_EF), shift_E)
