"""mmsegmentation's own SegFormer, 0.2x and 1.x: https://github.com/open-mmlab/mmsegmentation.

Queries, keys and values are one matrix; linear layers of the blocks' networks are 1 x 1 convolutions. Its head is
another one than the paper's: embeddings are batch-normed and rectified before they are upsampled, and fused shallowest
first. `models.mmseg_head` is that head.
"""

from models.layouts.layout import Layout

BLOCK = "encoder.stages.{i}.blocks.{j}."

MMSEGMENTATION = Layout(
    name="mmseg",
    title="mmsegmentation",
    names={
        "layers.{i}.0.projection.*": "encoder.stages.{i}.patch_embed.proj.*",
        "layers.{i}.0.norm.*": "encoder.stages.{i}.patch_embed.norm.*",
        "layers.{i}.1.{j}.norm1.*": BLOCK + "norm1.*",
        "layers.{i}.1.{j}.attn.attn.in_proj_*": BLOCK + "attn.qkv.*",
        "layers.{i}.1.{j}.attn.attn.out_proj.*": BLOCK + "attn.proj.*",
        "layers.{i}.1.{j}.attn.sr.*": BLOCK + "attn.sr.*",
        "layers.{i}.1.{j}.attn.norm.*": BLOCK + "attn.norm.*",
        "layers.{i}.1.{j}.norm2.*": BLOCK + "norm2.*",
        "layers.{i}.1.{j}.ffn.layers.0.*": BLOCK + "mlp.fc1.*",
        "layers.{i}.1.{j}.ffn.layers.1.*": BLOCK + "mlp.dwconv.*",
        "layers.{i}.1.{j}.ffn.layers.4.*": BLOCK + "mlp.fc2.*",
        "layers.{i}.2.*": "encoder.stages.{i}.norm.*",
        "decode_head.convs.{i}.conv.*": "head.linear_c.{i}.conv.*",
        "decode_head.convs.{i}.bn.*": "head.linear_c.{i}.bn.*",
        "decode_head.fusion_conv.conv.weight": "head.linear_fuse.weight",
        "decode_head.fusion_conv.bn.*": "head.bn.*",
        "decode_head.conv_seg.*": "head.classifier.*",
    },
    idle={},
    prefixes=("backbone.",),
    fuses_shallow_first=True,
)
