"""SegFormer's, DAFormer's and HRDA's networks as they were published, on tensors arranged as a file holds them.

    logits_BKHW = published_logits(tensors, x_B3HW, shallow_first=True)

Written a second time, plainly and slowly, for one purpose: a converted network must answer like this, or its tensors
were put together wrongly (`models.self_test`). Names are ours; keys and values may be apart or joined with queries,
embeddings may be followed by a batch norm, and `linear_fuse` may read them in either order.
"""

# B batch, C channels, H height, W width, N query tokens, M key tokens, E embedding channels, K classes

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture import of_part
from models.daformer import BLOCK_SIDE, RATES
from models.mit import NUM_HEADS, NUM_STAGES, STRIDES

Tensors = Mapping[str, Tensor]


def published_logits(tensors: Tensors, x_B3HW: Tensor, *, shallow_first: bool, eps: float = 1e-5) -> Tensor:
    """Logits (B, K, H / 4, W / 4); `eps` is of the norms behind patch embeddings and reduced keys."""
    features = published_features(tensors, x_B3HW, eps=eps)
    size_HW = features[0].shape[-2:]
    maps = []
    for index, feature_BCHW in enumerate(features):
        stem = f"head.linear_c.{index}"
        if f"{stem}.conv.weight" in tensors:
            map_BEHW = _conv_norm_relu(tensors, stem, feature_BCHW)
        else:
            map_BEHW = _pointwise(tensors, stem, feature_BCHW)
        maps.append(F.interpolate(map_BEHW, size=size_HW, mode="bilinear", align_corners=False))
    stacked = torch.cat(maps if shallow_first else maps[::-1], dim=1)
    return F.conv2d(_fused(tensors, stacked), tensors["head.classifier.weight"], tensors["head.classifier.bias"])


def published_light_logits(tensors: Tensors, x_B3HW: Tensor) -> Tensor:
    """Logits (B, K, H / 4, W / 4) of HAMLET's light decoder, which sees what the head embeds of stage 1."""
    own = "light_decoder.embed"
    embedded = _pointwise(
        tensors, own if f"{own}.weight" in tensors else "head.linear_c.0", published_features(tensors, x_B3HW)[0]
    )
    fused = F.relu(_batch_norm(tensors, "light_decoder.bn", _pointwise(tensors, "light_decoder.fuse", embedded)))
    return _pointwise(tensors, "light_decoder.classifier", fused)


def published_in_two_scales(tensors: Tensors, x_B3HW: Tensor, *, shallow_first: bool, eps: float = 1e-5) -> Tensor:
    """HRDA's logits (B, K, H / 4, W / 4): the halved image, and windows of its size half a window apart."""
    whole, says = of_part(tensors, "base"), of_part(tensors, "attention")
    h, w = x_B3HW.shape[-2] // 2, x_B3HW.shape[-1] // 2
    halved = F.interpolate(x_B3HW, size=(h, w), mode="bilinear", align_corners=False)
    coarse = published_logits(whole, halved, shallow_first=shallow_first, eps=eps)
    trust = published_logits(says, halved, shallow_first=shallow_first, eps=eps).sigmoid()
    fine = coarse.new_zeros(*coarse.shape[:2], x_B3HW.shape[-2] // 4, x_B3HW.shape[-1] // 4)
    num_seen = torch.zeros_like(fine)
    for top in (0, h // 2, h):
        for left in (0, w // 2, w):
            window = x_B3HW[..., top : top + h, left : left + w]
            place = (..., slice(top // 4, (top + h) // 4), slice(left // 4, (left + w) // 4))
            fine[place] += published_logits(whole, window, shallow_first=shallow_first, eps=eps)
            num_seen[place] += 1
    size_HW = fine.shape[-2:]
    rest, trust = (
        F.interpolate(map_BKhw, size=size_HW, mode="bilinear", align_corners=False)
        for map_BKhw in ((1 - trust) * coarse, trust)
    )
    return rest + trust * fine / num_seen


def published_features(tensors: Tensors, x_B3HW: Tensor, *, eps: float = 1e-5) -> list[Tensor]:
    """The four feature maps of the encoder."""
    features = []
    x_BCHW = x_B3HW
    for index in range(NUM_STAGES):
        stem = f"encoder.stages.{index}."
        kernel = tensors[f"{stem}patch_embed.proj.weight"].shape[-1]
        stride = STRIDES[0] if index == 0 else 2
        x_BCHW = _conv(tensors, f"{stem}patch_embed.proj", x_BCHW, stride=stride, padding=kernel // 2)
        H, W = x_BCHW.shape[-2:]
        x_BNC = _norm(tensors, f"{stem}patch_embed.norm", x_BCHW.flatten(2).mT, eps)
        block = 0
        while f"{stem}blocks.{block}.norm1.weight" in tensors:
            x_BNC = _block(tensors, f"{stem}blocks.{block}.", x_BNC, (H, W), NUM_HEADS[index], eps)
            block += 1
        x_BNC = _norm(tensors, f"{stem}norm", x_BNC, 1e-6)
        x_BCHW = _image(x_BNC, (H, W))
        features.append(x_BCHW)
    return features


def _block(t: Tensors, stem: str, x_BNC: Tensor, size_HW: tuple[int, int], num_heads: int, eps: float) -> Tensor:
    attended = _attention(t, f"{stem}attn.", _norm(t, f"{stem}norm1", x_BNC, 1e-6), size_HW, num_heads, eps)
    x_BNC = x_BNC + attended
    hidden = _linear(t, f"{stem}mlp.fc1", _norm(t, f"{stem}norm2", x_BNC, 1e-6))
    image = _image(hidden, size_HW)
    mixed = _conv(t, f"{stem}mlp.dwconv", image, padding=1, groups=image.shape[1]).flatten(2).mT
    return x_BNC + _linear(t, f"{stem}mlp.fc2", F.gelu(mixed))


def _attention(t: Tensors, stem: str, x_BNC: Tensor, size_HW: tuple[int, int], num_heads: int, eps: float) -> Tensor:
    reduced_BMC = x_BNC
    if f"{stem}sr.weight" in t:
        image = _image(x_BNC, size_HW)
        reduced_BMC = _conv(t, f"{stem}sr", image, stride=t[f"{stem}sr.weight"].shape[-1]).flatten(2).mT
        reduced_BMC = _norm(t, f"{stem}norm", reduced_BMC, eps)
    (wq, bq), (wk, bk), (wv, bv) = _queries_keys_values(t, stem)
    inputs = ((x_BNC, wq, bq), (reduced_BMC, wk, bk), (reduced_BMC, wv, bv))
    q, k, v = (_heads(F.linear(x, w, b), num_heads) for x, w, b in inputs)
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)
    return _linear(t, f"{stem}proj", (weights @ v).transpose(1, 2).flatten(2))


def _queries_keys_values(t: Tensors, stem: str) -> list[tuple[Tensor, Tensor]]:
    """(weight, bias) of each, from one, two or three matrices."""
    if f"{stem}qkv.weight" in t:
        return list(zip(t[f"{stem}qkv.weight"].chunk(3), t[f"{stem}qkv.bias"].chunk(3), strict=True))
    queries = (t[f"{stem}q.weight"], t[f"{stem}q.bias"])
    if f"{stem}kv.weight" in t:
        return [queries, *zip(t[f"{stem}kv.weight"].chunk(2), t[f"{stem}kv.bias"].chunk(2), strict=True)]
    return [queries, *((t[f"{stem}{part}.weight"], t[f"{stem}{part}.bias"]) for part in "kv")]


def _fused(t: Tensors, stacked: Tensor) -> Tensor:
    if "head.linear_fuse.weight" in t:
        return F.relu(_batch_norm(t, "head.bn", F.conv2d(stacked, t["head.linear_fuse.weight"])))
    if "head.fuse.entry.conv.weight" in t:
        return _interlaced(t, stacked)
    branches = [_conv_norm_relu(t, "head.fuse.branches.0", stacked)]
    for number, rate in enumerate(RATES[1:], start=1):
        stem = f"head.fuse.branches.{number}"
        spread = _conv_norm_relu(t, f"{stem}.depthwise", stacked, rate=rate, groups=stacked.shape[1])
        branches.append(_conv_norm_relu(t, f"{stem}.pointwise", spread))
    return _conv_norm_relu(t, "head.fuse.bottleneck", torch.cat(branches, dim=1))


def _interlaced(t: Tensors, stacked: Tensor) -> Tensor:
    """Groups are cut out one by one: every P-th pixel from an offset, then every block."""
    x = _conv_norm_relu(t, "head.fuse.entry", stacked)
    P, (H, W) = BLOCK_SIDE, x.shape[-2:]
    top, left = (-H % P) // 2, (-W % P) // 2
    x = F.pad(x, (left, -W % P - left, top, -H % P - top))
    far, near = torch.empty_like(x), torch.empty_like(x)
    for row in range(P):
        for column in range(P):
            far[:, :, row::P, column::P] = _relation(t, "head.fuse.long_range", x[:, :, row::P, column::P])
    for row in range(0, x.shape[2], P):
        for column in range(0, x.shape[3], P):
            block = slice(row, row + P), slice(column, column + P)
            near[:, :, *block] = _relation(t, "head.fuse.short_range", far[:, :, *block])
    return near[:, :, top : top + H, left : left + W]


def _relation(t: Tensors, stem: str, x: Tensor) -> Tensor:
    q = _conv_norm_relu(t, f"{stem}.query", x).flatten(2)
    k = _conv_norm_relu(t, f"{stem}.key", x).flatten(2)
    v = _conv(t, f"{stem}.value", x).flatten(2)
    weights = (q.mT @ k / q.shape[1] ** 0.5).softmax(dim=-1)
    return _conv_norm_relu(t, f"{stem}.out", (v @ weights.mT).reshape(x.shape))


def _heads(x_BNC: Tensor, num_heads: int) -> Tensor:
    B, N, C = x_BNC.shape
    return x_BNC.reshape(B, N, num_heads, C // num_heads).transpose(1, 2)


def _image(x_BNC: Tensor, size_HW: tuple[int, int]) -> Tensor:
    B, _, C = x_BNC.shape
    return x_BNC.mT.reshape(B, C, *size_HW)


def _conv_norm_relu(t: Tensors, stem: str, x: Tensor, *, rate: int = 1, groups: int = 1) -> Tensor:
    weight = t[f"{stem}.conv.weight"]
    padding = rate * (weight.shape[-1] // 2)
    return F.relu(_batch_norm(t, f"{stem}.bn", F.conv2d(x, weight, None, 1, padding, rate, groups)))


def _batch_norm(t: Tensors, stem: str, x: Tensor) -> Tensor:
    mean, var = t[f"{stem}.running_mean"], t[f"{stem}.running_var"]
    return F.batch_norm(x, mean, var, t[f"{stem}.weight"], t[f"{stem}.bias"])


def _conv(t: Tensors, stem: str, x: Tensor, *, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    return F.conv2d(x, t[f"{stem}.weight"], t[f"{stem}.bias"], stride, padding, 1, groups)


def _pointwise(t: Tensors, stem: str, x: Tensor) -> Tensor:
    """A 1 x 1 convolution may be stored as a linear layer."""
    return F.conv2d(x, t[f"{stem}.weight"].flatten(1)[:, :, None, None], t.get(f"{stem}.bias"))


def _linear(t: Tensors, stem: str, x: Tensor) -> Tensor:
    """A linear layer may be stored as a 1 x 1 convolution."""
    return F.linear(x, t[f"{stem}.weight"].flatten(1), t[f"{stem}.bias"])


def _norm(t: Tensors, stem: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], t[f"{stem}.weight"], t[f"{stem}.bias"], eps)
