"""The models there are, by name, in one dict.

    model = build_model("segformer_b0", num_classes=19)           # .encoder, .head; random weights
    logits_BKhw = model(x_B3HW)                                   # stride 4

Weights are not loaded here: see `models.checkpoint`.
"""

import difflib
from collections.abc import Callable
from functools import partial

from models.mit import MIT_CONFIGS, MixTransformer
from models.segformer import SegFormerHead, SegmentationModel


def build_segformer(num_classes: int, *, size: str, embed_channels: int) -> SegmentationModel:
    """SegFormer of a published size ("b0" .. "b5") with random weights from torch's global generator."""
    encoder = MixTransformer(MIT_CONFIGS[size])
    head = SegFormerHead(encoder.channels, embed_channels=embed_channels, num_classes=num_classes)
    return SegmentationModel(f"segformer_{size}", encoder, head)


MODELS: dict[str, Callable[[int], SegmentationModel]] = {
    "segformer_b0": partial(build_segformer, size="b0", embed_channels=256),
    "segformer_b1": partial(build_segformer, size="b1", embed_channels=256),
    "segformer_b2": partial(build_segformer, size="b2", embed_channels=768),
    "segformer_b3": partial(build_segformer, size="b3", embed_channels=768),
    "segformer_b4": partial(build_segformer, size="b4", embed_channels=768),
    "segformer_b5": partial(build_segformer, size="b5", embed_channels=768),
}


def build_model(name: str, *, num_classes: int) -> SegmentationModel:
    """The named network with random weights; ValueError naming the nearest models for an unknown name."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.4) or list(MODELS)
        raise ValueError(f"model must be one of the known names, got {name!r}; nearest: {', '.join(near)}")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    return MODELS[name](num_classes)
