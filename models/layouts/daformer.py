"""DAFormer, https://github.com/lhoyer/DAFormer: NVlabs' encoder names and a head of its own (`models.daformer`).

With a 1 x 1 convolution to fuse (`conv1`) the head is SegFormer's, fused shallowest first and named otherwise.
"""

from models.layouts.layout import Layout
from models.layouts.nvlabs import ENCODER, IDLE_ENCODER, PREFIXES

RELATION = {
    "key_project.conv.*": "key.conv.*",
    "key_project.bn.*": "key.bn.*",
    "query_project.conv.*": "query.conv.*",
    "query_project.bn.*": "query.bn.*",
    "value_project.*": "value.*",
    "output_project.conv.*": "out.conv.*",
    "output_project.bn.*": "out.bn.*",
}

DAFORMER = Layout(
    name="daformer",
    title="DAFormer",
    names={
        **ENCODER,
        **{f"decode_head.embed_layers.{i}.proj.*": f"head.linear_c.{i}.*" for i in range(4)},
        "decode_head.fuse_layer.conv.weight": "head.linear_fuse.weight",
        "decode_head.fuse_layer.bn.*": "head.bn.*",
        "decode_head.fuse_layer.aspp_modules.{j}.conv.*": "head.fuse.branches.{j}.conv.*",
        "decode_head.fuse_layer.aspp_modules.{j}.bn.*": "head.fuse.branches.{j}.bn.*",
        "decode_head.fuse_layer.aspp_modules.{j}.depthwise_conv.conv.*": "head.fuse.branches.{j}.depthwise.conv.*",
        "decode_head.fuse_layer.aspp_modules.{j}.depthwise_conv.bn.*": "head.fuse.branches.{j}.depthwise.bn.*",
        "decode_head.fuse_layer.aspp_modules.{j}.pointwise_conv.conv.*": "head.fuse.branches.{j}.pointwise.conv.*",
        "decode_head.fuse_layer.aspp_modules.{j}.pointwise_conv.bn.*": "head.fuse.branches.{j}.pointwise.bn.*",
        "decode_head.fuse_layer.bottleneck.conv.*": "head.fuse.bottleneck.conv.*",
        "decode_head.fuse_layer.bottleneck.bn.*": "head.fuse.bottleneck.bn.*",
        "decode_head.fuse_layer.in_conv.conv.*": "head.fuse.entry.conv.*",
        "decode_head.fuse_layer.in_conv.bn.*": "head.fuse.entry.bn.*",
        **{
            f"decode_head.fuse_layer.{which}_relation.{theirs}": f"head.fuse.{reach}.{ours}"
            for which, reach in (("global", "long_range"), ("local", "short_range"))
            for theirs, ours in RELATION.items()
        },
        "decode_head.conv_seg.*": "head.classifier.*",
    },
    idle=IDLE_ENCODER,
    prefixes=PREFIXES,
    first_stage=1,
    fuses_shallow_first=True,
)
