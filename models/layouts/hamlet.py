"""HAMLET, https://github.com/MarcBotet/hamlet, and the SegFormer head of DAFormer's code, from which its own descends.

The encoder is named as NVlabs names it, but the head counts stages from 0 and fuses shallowest first: loaded without
turning `linear_fuse` round it answers nonsense, and nothing complains. `linear_fuse_m1` and `linear_pred_m1` are the
light decoder.
"""

from models.layouts.layout import Layout
from models.layouts.nvlabs import ENCODER, IDLE_ENCODER, PREFIXES

HAMLET = Layout(
    name="hamlet",
    title="HAMLET, or DAFormer's code with SegFormer's head",
    names={
        **ENCODER,
        # Written out, as the head counts stages from 0 and the encoder from 1.
        **{f"decode_head.linear_c.{i}.proj.*": f"head.linear_c.{i}.*" for i in range(4)},
        "decode_head.linear_fuse.conv.weight": "head.linear_fuse.weight",
        "decode_head.linear_fuse.bn.*": "head.bn.*",
        "decode_head.linear_pred.*": "head.classifier.*",
        "decode_head.linear_fuse_m1.conv.weight": "light_decoder.fuse.weight",
        "decode_head.linear_fuse_m1.bn.*": "light_decoder.bn.*",
        "decode_head.linear_pred_m1.*": "light_decoder.classifier.*",
    },
    idle={**IDLE_ENCODER, "decode_head.conv_seg.*": "its network never uses it"},
    prefixes=PREFIXES,
    first_stage=1,
    fuses_shallow_first=True,
)
