"""DAFormer's heads written a second time: tensors under their published names, and what these come to."""

import torch
import torch.nn.functional as F

E, K = 256, 19


def conv_norm(tensors, stem, in_channels, *, kernel=1, groups=1, out_channels=E):
    fan_in = in_channels // groups * kernel**2
    tensors[f"{stem}.conv.weight"] = torch.randn(out_channels, in_channels // groups, kernel, kernel) / fan_in**0.5
    tensors[f"{stem}.bn.weight"] = torch.rand(out_channels) + 0.5
    tensors[f"{stem}.bn.bias"] = torch.randn(out_channels) / 4
    tensors[f"{stem}.bn.running_mean"] = torch.randn(out_channels) / 4
    tensors[f"{stem}.bn.running_var"] = torch.rand(out_channels) + 0.5
    tensors[f"{stem}.bn.num_batches_tracked"] = torch.tensor(3)


def apply(tensors, stem, x, **options):
    y = F.conv2d(x, tensors[f"{stem}.conv.weight"], **options)
    mean, var = (tensors[f"{stem}.bn.running_{part}"][:, None, None] for part in ("mean", "var"))
    y = (y - mean) / (var + 1e-5).sqrt()
    return (y * tensors[f"{stem}.bn.weight"][:, None, None] + tensors[f"{stem}.bn.bias"][:, None, None]).clamp(min=0)


def head_of(fusion, channels):
    """Tensors by their names below `decode_head.`."""
    torch.manual_seed(3)
    head = {}
    for i, C in enumerate(channels):
        head[f"embed_layers.{i}.proj.weight"] = torch.randn(E, C) / C**0.5
        head[f"embed_layers.{i}.proj.bias"] = torch.randn(E)
    if fusion == "sepaspp":
        conv_norm(head, "fuse_layer.aspp_modules.0", 4 * E)
        for n in (1, 2, 3):
            stem = f"fuse_layer.aspp_modules.{n}."
            conv_norm(head, stem + "depthwise_conv", 4 * E, kernel=3, groups=4 * E, out_channels=4 * E)
            conv_norm(head, stem + "pointwise_conv", 4 * E)
        conv_norm(head, "fuse_layer.bottleneck", 4 * E, kernel=3)
    elif fusion == "conv1":
        conv_norm(head, "fuse_layer", 4 * E)
    else:
        conv_norm(head, "fuse_layer.in_conv", 4 * E)
        for which in ("global", "local"):
            stem = f"fuse_layer.{which}_relation."
            for part in ("key_project", "query_project", "output_project"):
                conv_norm(head, stem + part, E)
            head[stem + "value_project.weight"] = torch.randn(E, E, 1, 1) / 16
            head[stem + "value_project.bias"] = torch.randn(E) / 4
    return head | {"conv_seg.weight": torch.randn(K, E, 1, 1) / 16, "conv_seg.bias": torch.randn(K)}


def aspp(head, x):
    maps = [apply(head, "fuse_layer.aspp_modules.0", x)]
    for n, rate in ((1, 6), (2, 12), (3, 18)):
        stem = f"fuse_layer.aspp_modules.{n}."
        spread = apply(head, stem + "depthwise_conv", x, padding=rate, dilation=rate, groups=4 * E)
        maps.append(apply(head, stem + "pointwise_conv", spread))
    return apply(head, "fuse_layer.bottleneck", torch.cat(maps, dim=1), padding=1)


def one_convolution(head, x):
    return apply(head, "fuse_layer", x)


def interlaced(head, x):
    """Dense attention over all positions, with all pairs masked that are in no group of their own."""
    x = apply(head, "fuse_layer.in_conv", x)
    height, width = x.shape[2:]
    up, left = (-height % 8) // 2, (-width % 8) // 2
    x = F.pad(x, (left, -width % 8 - left, up, -height % 8 - up))
    rows, columns = torch.meshgrid(torch.arange(x.shape[2]), torch.arange(x.shape[3]), indexing="ij")
    for which, group in (("global", rows % 8 * 8 + columns % 8), ("local", rows // 8 * 99 + columns // 8)):
        stem = f"fuse_layer.{which}_relation."
        keys, queries = (apply(head, stem + part, x).flatten(2) for part in ("key_project", "query_project"))
        values = F.conv2d(x, head[stem + "value_project.weight"], head[stem + "value_project.bias"]).flatten(2)
        apart = group.flatten()[:, None] != group.flatten()
        scores = torch.einsum("bct,bcs->bts", queries, keys) / 16
        context = torch.einsum("bts,bcs->bct", scores.masked_fill(apart, -torch.inf).softmax(dim=2), values)
        x = apply(head, stem + "output_project", context.unflatten(2, x.shape[2:]))
    return x[:, :, up : up + height, left : left + width]


def answer(head, features, fuse):
    """Logits of the head's tensors on the four maps of an encoder."""
    maps = []
    for i, feature in enumerate(features):
        weight = head[f"embed_layers.{i}.proj.weight"][:, :, None, None]
        embedded = F.conv2d(feature, weight, head[f"embed_layers.{i}.proj.bias"])
        maps.append(F.interpolate(embedded, features[0].shape[2:], mode="bilinear", align_corners=False))
    return F.conv2d(fuse(head, torch.cat(maps, dim=1)), head["conv_seg.weight"], head["conv_seg.bias"])
