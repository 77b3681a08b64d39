"""Hugging Face SegFormer: `SegformerForSemanticSegmentation`, and encoders (`nvidia/mit-b0`) alone.

Names of transformers up to version 4, in which weights are published, and those since version 5. Keys and values are
two matrices; the head fuses deepest first, as here.
"""

from models.layouts.layout import Layout

BLOCK = "encoder.stages.{i}.blocks.{j}."

UP_TO_VERSION_4 = {
    "encoder.patch_embeddings.{i}.proj.*": "encoder.stages.{i}.patch_embed.proj.*",
    "encoder.patch_embeddings.{i}.layer_norm.*": "encoder.stages.{i}.patch_embed.norm.*",
    "encoder.block.{i}.{j}.layer_norm_1.*": BLOCK + "norm1.*",
    "encoder.block.{i}.{j}.attention.self.query.*": BLOCK + "attn.q.*",
    "encoder.block.{i}.{j}.attention.self.key.*": BLOCK + "attn.k.*",
    "encoder.block.{i}.{j}.attention.self.value.*": BLOCK + "attn.v.*",
    "encoder.block.{i}.{j}.attention.self.sr.*": BLOCK + "attn.sr.*",
    "encoder.block.{i}.{j}.attention.self.layer_norm.*": BLOCK + "attn.norm.*",
    "encoder.block.{i}.{j}.attention.output.dense.*": BLOCK + "attn.proj.*",
    "encoder.block.{i}.{j}.layer_norm_2.*": BLOCK + "norm2.*",
    "encoder.block.{i}.{j}.mlp.dense1.*": BLOCK + "mlp.fc1.*",
    "encoder.block.{i}.{j}.mlp.dwconv.dwconv.*": BLOCK + "mlp.dwconv.*",
    "encoder.block.{i}.{j}.mlp.dense2.*": BLOCK + "mlp.fc2.*",
    "encoder.layer_norm.{i}.*": "encoder.stages.{i}.norm.*",
    "decode_head.linear_c.{i}.proj.*": "head.linear_c.{i}.*",
}
SINCE_VERSION_5 = {
    "stages.{i}.patch_embeddings.proj.*": "encoder.stages.{i}.patch_embed.proj.*",
    "stages.{i}.patch_embeddings.layer_norm.*": "encoder.stages.{i}.patch_embed.norm.*",
    "stages.{i}.blocks.{j}.layernorm_before.*": BLOCK + "norm1.*",
    "stages.{i}.blocks.{j}.attention.q_proj.*": BLOCK + "attn.q.*",
    "stages.{i}.blocks.{j}.attention.k_proj.*": BLOCK + "attn.k.*",
    "stages.{i}.blocks.{j}.attention.v_proj.*": BLOCK + "attn.v.*",
    "stages.{i}.blocks.{j}.attention.sequence_reduction.sequence_reduction.*": BLOCK + "attn.sr.*",
    "stages.{i}.blocks.{j}.attention.sequence_reduction.layer_norm.*": BLOCK + "attn.norm.*",
    "stages.{i}.blocks.{j}.attention.o_proj.*": BLOCK + "attn.proj.*",
    "stages.{i}.blocks.{j}.layernorm_after.*": BLOCK + "norm2.*",
    "stages.{i}.blocks.{j}.mlp.fc1.*": BLOCK + "mlp.fc1.*",
    "stages.{i}.blocks.{j}.mlp.dwconv.dwconv.*": BLOCK + "mlp.dwconv.*",
    "stages.{i}.blocks.{j}.mlp.fc2.*": BLOCK + "mlp.fc2.*",
    "stages.{i}.layer_norm.*": "encoder.stages.{i}.norm.*",
    "decode_head.linear_projections.{i}.proj.*": "head.linear_c.{i}.*",
}

HUGGING_FACE = Layout(
    name="huggingface",
    title="Hugging Face SegFormer",
    names={
        **UP_TO_VERSION_4,
        **SINCE_VERSION_5,
        "decode_head.linear_fuse.weight": "head.linear_fuse.weight",
        "decode_head.batch_norm.*": "head.bn.*",
        "decode_head.classifier.*": "head.classifier.*",
    },
    idle={"classifier.*": "classifies ImageNet"},
    prefixes=("segformer.",),
)
