"""HRDA and MIC, https://github.com/lhoyer/HRDA and https://github.com/lhoyer/MIC: DAFormer's network in two
resolutions (`models.hrda`).

One encoder, one head under `decode_head.head`, and under `decode_head.scale_attention` a second head that says which
resolution to believe, a DAFormer head with a 1 x 1 convolution to fuse. The published networks say so per class. On
1024 x 1024 pixels they have nine windows of 512, as here; larger images they cut into overlapping parts of that size,
where `models.hrda` has nine larger windows.
"""

from models.layouts.daformer import DAFORMER
from models.layouts.layout import Layout

HEAD, ATTENTION = "decode_head.head.", "decode_head.scale_attention."
OF_ATTENTION = ("embed_layers.", "fuse_layer.conv.", "fuse_layer.bn.", "conv_seg.")


def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for theirs, ours in DAFORMER.names.items():
        if not theirs.startswith("decode_head."):
            names[theirs] = ours.replace("encoder.", "encoder.base.", 1)
            continue
        part = theirs.removeprefix("decode_head.")
        names[HEAD + part] = ours.replace("head.", "head.base.", 1)
        if part.startswith(OF_ATTENTION):
            names[ATTENTION + part] = ours.replace("head.", "head.attention.", 1)
    return names


HRDA = Layout(
    name="hrda",
    title="HRDA",
    names=_names(),
    idle=DAFORMER.idle,
    prefixes=DAFORMER.prefixes,
    first_stage=DAFORMER.first_stage,
    fuses_shallow_first=True,
)
