"""Mix Transformer (MiT), the hierarchical encoder of SegFormer: Xie et al. 2021, arXiv 2105.15203, section 3.1.

Four stages at strides 4, 8, 16, 32; the exact published layers and parameter counts. It knows nothing of classes or
training. Activations stay in one memory layout throughout: tokens as (B, H, W, C), whose permuted view is a
channels_last (B, C, H, W), so linear layers, norms and convolutions follow each other without a copy.

    features = MixTransformer(MIT_CONFIGS["b0"])(x_B3HW)          # four (B, C_i, H / stride_i, W / stride_i)
"""

# B batch, C channels, H height, W width, N query tokens (H * W), M key tokens, D channels per attention head

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from models.linear import Linear

NUM_STAGES = 4
STRIDES = (4, 8, 16, 32)
NUM_HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
MLP_RATIO = 4


@dataclass(frozen=True, slots=True)
class MitConfig:
    """What distinguishes B0 to B5 (table 6 of the paper): channels and number of blocks of each stage.

    `embedding_eps` is of the norms behind patch embeddings and behind reduced keys; blocks and stages have 1e-6.
    """

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    drop_path: float = 0.1
    embedding_eps: float = 1e-5


MIT_CONFIGS: dict[str, MitConfig] = {
    "b0": MitConfig((32, 64, 160, 256), (2, 2, 2, 2)),
    "b1": MitConfig((64, 128, 320, 512), (2, 2, 2, 2)),
    "b2": MitConfig((64, 128, 320, 512), (3, 4, 6, 3)),
    "b3": MitConfig((64, 128, 320, 512), (3, 4, 18, 3)),
    "b4": MitConfig((64, 128, 320, 512), (3, 8, 27, 3)),
    "b5": MitConfig((64, 128, 320, 512), (3, 6, 40, 3)),
}


class MixTransformer(nn.Module):
    """Image to four feature maps. `run_stages` restarts from the output of any stage, for cached prefixes."""

    is_restartable = True

    def __init__(self, config: MitConfig) -> None:
        super().__init__()
        self.channels = config.channels
        num_blocks = sum(config.depths)
        rates = [config.drop_path * i / (num_blocks - 1) for i in range(num_blocks)]
        stages, first = [], 0
        for index, depth in enumerate(config.depths):
            in_channels = config.channels[index - 1] if index else 3
            block_rates = rates[first : first + depth]
            stages.append(Stage(index, in_channels, config.channels[index], block_rates, eps=config.embedding_eps))
            first += depth
        self.stages = nn.ModuleList(stages)
        self.apply(_initialise)

    def forward(self, x_B3HW: Tensor) -> list[Tensor]:
        """Feature maps (B, C_i, H_i, W_i) in channels_last memory, shallow to deep."""
        return self.run_stages(x_B3HW)

    def run_stages(self, x_BCHW: Tensor, *, start: int = 0, stop: int = NUM_STAGES) -> list[Tensor]:
        """Outputs of stages `start` .. `stop - 1`, given the image (start 0) or the output of stage `start - 1`."""
        features = []
        for index in range(start, stop):
            x_BCHW = self.stages[index](x_BCHW)
            features.append(x_BCHW)
        return features

    def fitted(self, size_HW: tuple[int, int]) -> tuple[int, int]:
        """Any size will do."""
        return size_HW

    def stage_of(self, name: str) -> int:
        """From 0, by the name of a tensor or module: "stages.2.blocks.0"."""
        return int(name.split(".")[1])


class Stage(nn.Module):
    """Overlapping patch embedding, transformer blocks, norm."""

    def __init__(self, index: int, in_channels: int, channels: int, drop_paths: Sequence[float], *, eps: float) -> None:
        super().__init__()
        kernel, stride = (7, 4) if index == 0 else (3, 2)
        self.patch_embed = PatchEmbed(in_channels, channels, kernel=kernel, stride=stride, eps=eps)
        self.blocks = nn.ModuleList(
            Block(channels, num_heads=NUM_HEADS[index], reduction=REDUCTIONS[index], drop_path=rate, eps=eps)
            for rate in drop_paths
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC: Tensor = self.patch_embed(x_BCHW)
        for block in self.blocks:
            x_BHWC = block(x_BHWC)
        x_BHWC = self.norm(x_BHWC)
        return x_BHWC.permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """Strided convolution whose windows overlap, then LayerNorm."""

    def __init__(self, in_channels: int, channels: int, *, kernel: int, stride: int, eps: float) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.proj(x_BCHW)
        y_BHWC: Tensor = self.norm(_tokens(y_BCHW))
        return y_BHWC


class Block(nn.Module):
    """Pre-norm block: x + attention(norm1 x), then x + mlp(norm2 x) [+ adapter(norm2 x) where one is attached]."""

    def __init__(self, channels: int, *, num_heads: int, reduction: int, drop_path: float, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = EfficientAttention(channels, num_heads=num_heads, reduction=reduction, eps=eps)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MixFfn(channels)
        self.drop_path = DropPath(drop_path)
        self.adapter: nn.Module | None = None

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BHWC = _residual(x_BHWC, self.drop_path(self.attn(self.norm1(x_BHWC))))
        y_BHWC: Tensor = self.norm2(x_BHWC)
        update_BHWC: Tensor = self.mlp(y_BHWC)
        if self.adapter is not None:
            update_BHWC = update_BHWC.add_(self.adapter(y_BHWC))
        return _residual(x_BHWC, self.drop_path(update_BHWC))


class EfficientAttention(nn.Module):
    """Self-attention whose keys and values come from a map reduced `reduction` times in each direction (equation 2)."""

    def __init__(self, channels: int, *, num_heads: int, reduction: int, eps: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.reduction = reduction
        self.q = Linear(channels, channels)
        self.kv = Linear(channels, 2 * channels)
        self.proj = Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        B, H, W, C = x_BHWC.shape
        heads = self.num_heads
        q_BhND = self.q(x_BHWC).view(B, H * W, heads, C // heads).transpose(1, 2)
        reduced = self.norm(_tokens(self.sr(_image(x_BHWC)))) if self.reduction > 1 else x_BHWC
        k_BhMD, v_BhMD = self.kv(reduced).view(B, -1, 2, heads, C // heads).permute(2, 0, 3, 1, 4).unbind(0)
        y_BhND = F.scaled_dot_product_attention(q_BhND, k_BhMD, v_BhMD)
        y_BHWC: Tensor = self.proj(y_BhND.transpose(1, 2).reshape(B, H, W, C))
        return y_BHWC


class MixFfn(nn.Module):
    """Linear, depthwise 3x3 convolution (it stands in for a position encoding), GELU, linear (equation 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = MLP_RATIO * channels
        self.fc1 = Linear(channels, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = Linear(hidden, channels)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        h_BHWC = _tokens(self.dwconv(_image(self.fc1(x_BHWC))))
        y_BHWC: Tensor = self.fc2(F.gelu(h_BHWC))
        return y_BHWC


class DropPath(nn.Module):
    """Drops a sample's residual branch while training: stochastic depth, Huang et al. 2016, arXiv 1603.09382."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x_BHWC: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x_BHWC
        keep = 1.0 - self.rate
        mask_B111 = x_BHWC.new_empty((x_BHWC.shape[0], 1, 1, 1)).bernoulli_(keep)
        return x_BHWC * (mask_B111 / keep)


def _residual(x_BHWC: Tensor, update_BHWC: Tensor) -> Tensor:
    """x + update, in the update's memory; not under autocast, where the sum must keep x's precision."""
    return update_BHWC.add_(x_BHWC) if update_BHWC.dtype == x_BHWC.dtype else x_BHWC + update_BHWC


def _tokens(x_BCHW: Tensor) -> Tensor:
    """(B, C, H, W) to contiguous (B, H, W, C); free when the memory is channels_last already."""
    return x_BCHW.permute(0, 2, 3, 1).contiguous()


def _image(x_BHWC: Tensor) -> Tensor:
    """(B, H, W, C) to a channels_last view (B, C, H, W)."""
    return x_BHWC.permute(0, 3, 1, 2)


def _initialise(module: nn.Module) -> None:
    """Published initialisation: truncated normal 0.02 for linear layers, fan-out normal for convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
