"""Our own names, in a file that has lost its manifest or was written by other means.

Tensors of `segformer_mmseg_*` are named and shaped as those of `segformer_*` (B0, B1) or `daformer_conv1_*` and are
taken for them: keep their manifest.
"""

from models.layouts.layout import Layout

BLOCK = "encoder.stages.{i}.blocks.{j}."
BLOCK_PARTS = (
    *("norm1", "attn.q", "attn.kv", "attn.proj", "attn.sr", "attn.norm"),
    *("norm2", "mlp.fc1", "mlp.dwconv", "mlp.fc2"),
)
STAGE_PARTS = ("patch_embed.proj", "patch_embed.norm", "norm")
HEAD_PARTS = (
    *("linear_c.{i}", "linear_fuse", "bn", "classifier", "fuse.bottleneck.conv", "fuse.bottleneck.bn"),
    *("fuse.branches.{j}.conv", "fuse.branches.{j}.bn", "fuse.entry.conv", "fuse.entry.bn"),
    *("fuse.branches.{j}.depthwise.conv", "fuse.branches.{j}.depthwise.bn"),
    *("fuse.branches.{j}.pointwise.conv", "fuse.branches.{j}.pointwise.bn"),
)
RELATION_PARTS = ("key.conv", "key.bn", "query.conv", "query.bn", "value", "out.conv", "out.bn")
LIGHT_PARTS = ("embed", "fuse", "bn", "classifier")

PARTS = (
    *(BLOCK + part for part in BLOCK_PARTS),
    *("encoder.stages.{i}." + part for part in STAGE_PARTS),
    *("head." + part for part in HEAD_PARTS),
    *(f"head.fuse.{reach}.{part}" for reach in ("long_range", "short_range") for part in RELATION_PARTS),
    *("light_decoder." + part for part in LIGHT_PARTS),
)

NATIVE = Layout(
    name="native",
    title="our own names, without a manifest",
    names={f"{part}.*": f"{part}.*" for part in PARTS},
    idle={},
)
