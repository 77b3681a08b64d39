"""NVlabs SegFormer, https://github.com/NVlabs/SegFormer: its encoders (`mit_b0.pth`) and its full models.

Stages count from 1 and belong to the words (`block1.0`); keys and values are one matrix, as here; the head fuses
deepest first, as here.
"""

from models.layouts.layout import Layout

ENCODER = {
    "patch_embed{i}.proj.*": "encoder.stages.{i}.patch_embed.proj.*",
    "patch_embed{i}.norm.*": "encoder.stages.{i}.patch_embed.norm.*",
    "block{i}.{j}.norm1.*": "encoder.stages.{i}.blocks.{j}.norm1.*",
    "block{i}.{j}.attn.q.*": "encoder.stages.{i}.blocks.{j}.attn.q.*",
    "block{i}.{j}.attn.kv.*": "encoder.stages.{i}.blocks.{j}.attn.kv.*",
    "block{i}.{j}.attn.proj.*": "encoder.stages.{i}.blocks.{j}.attn.proj.*",
    "block{i}.{j}.attn.sr.*": "encoder.stages.{i}.blocks.{j}.attn.sr.*",
    "block{i}.{j}.attn.norm.*": "encoder.stages.{i}.blocks.{j}.attn.norm.*",
    "block{i}.{j}.norm2.*": "encoder.stages.{i}.blocks.{j}.norm2.*",
    "block{i}.{j}.mlp.fc1.*": "encoder.stages.{i}.blocks.{j}.mlp.fc1.*",
    "block{i}.{j}.mlp.dwconv.dwconv.*": "encoder.stages.{i}.blocks.{j}.mlp.dwconv.*",
    "block{i}.{j}.mlp.fc2.*": "encoder.stages.{i}.blocks.{j}.mlp.fc2.*",
    "norm{i}.*": "encoder.stages.{i}.norm.*",
}
IDLE_ENCODER = {"head.*": "classifies ImageNet"}
PREFIXES = ("backbone.",)

NVLABS = Layout(
    name="nvlabs",
    title="NVlabs SegFormer",
    names={
        **ENCODER,
        "decode_head.linear_c{i}.proj.*": "head.linear_c.{i}.*",
        "decode_head.linear_fuse.conv.weight": "head.linear_fuse.weight",
        "decode_head.linear_fuse.bn.*": "head.bn.*",
        "decode_head.linear_pred.*": "head.classifier.*",
    },
    idle={**IDLE_ENCODER, "decode_head.conv_seg.*": "its network never uses it"},
    prefixes=PREFIXES,
    first_stage=1,
)
