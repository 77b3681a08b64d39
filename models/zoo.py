"""The models there are, by name, in one dict.

    model = build_model("segformer_b0", num_classes=19)           # .encoder, .head; random weights
    logits_BKhw = model(x_B3HW)                                   # stride 4
    model = build_model("timm:convnext_tiny", num_classes=19)     # any encoder of timm, see `models.timm_models`
    model = build_model("hrda:daformer_b5", num_classes=19)       # any of these two within HRDA, see `models.hrda`
    model = build_model("hf:some/folder", num_classes=19)         # a saved network of transformers, with its weights
    model = build_model("mine.nets:make", num_classes=19)         # what a function of the user's returns

Weights are not loaded here: see `models.checkpoint`.
"""

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from functools import partial

from models.daformer import EMBED_CHANNELS, interlaced_head, separable_aspp_head
from models.encoder import ModelUnsuitable
from models.head import Head
from models.hrda import PREFIX as HRDA
from models.hrda import hrda_of
from models.hugging_face import build_hugging_face
from models.knet import KNetHead
from models.mit import MIT_CONFIGS, MitConfig, MixTransformer
from models.mmseg_head import EMBED_CHANNELS as MMSEG_CHANNELS
from models.mmseg_head import RectifiedHead
from models.segformer import SegFormerHead, SegmentationModel
from models.timm_models import PREFIX as TIMM
from models.timm_models import build_timm
from models.whole_network import build_imported

SIZES = tuple(MIT_CONFIGS)
SEGFORMER_CHANNELS = {size: 256 if size in ("b0", "b1") else 768 for size in SIZES}  # of the embedding, as published

Build = Callable[[int], SegmentationModel]
BuildHead = Callable[[Sequence[int], int], Head]


def build_mit(num_classes: int, *, name: str, config: MitConfig, head: BuildHead) -> SegmentationModel:
    """A MiT encoder and a head for its channels, with random weights from torch's global generator."""
    encoder = MixTransformer(config)
    return SegmentationModel(name, encoder, head(encoder.channels, num_classes))


def segformer_head_of(embed_channels: int) -> BuildHead:
    """SegFormer's own head."""
    return lambda channels, num_classes: SegFormerHead(channels, embed_channels=embed_channels, num_classes=num_classes)


def rectified_head(channels: Sequence[int], num_classes: int) -> RectifiedHead:
    """mmsegmentation's variant of it."""
    return RectifiedHead(channels, embed_channels=MMSEG_CHANNELS, num_classes=num_classes)


def knet_head(channels: Sequence[int], num_classes: int) -> KNetHead:
    """K-Net on SegFormer's head of 256 channels."""
    return KNetHead(SegFormerHead(channels, embed_channels=EMBED_CHANNELS, num_classes=num_classes))


def _sizes(stem: str, configs: dict[str, MitConfig], head: Callable[[str], BuildHead]) -> dict[str, Build]:
    names = {size: f"{stem}_{size}" for size in SIZES}
    return {names[size]: partial(build_mit, name=names[size], config=configs[size], head=head(size)) for size in SIZES}


# mmsegmentation gives every norm of its encoder the smaller epsilon.
MMSEG_CONFIGS = {size: dataclasses.replace(config, embedding_eps=1e-6) for size, config in MIT_CONFIGS.items()}

MODELS: dict[str, Build] = {
    **_sizes("segformer", MIT_CONFIGS, lambda size: segformer_head_of(SEGFORMER_CHANNELS[size])),
    **_sizes("segformer_mmseg", MMSEG_CONFIGS, lambda _: rectified_head),
    **_sizes("hamlet", MIT_CONFIGS, lambda size: segformer_head_of(SEGFORMER_CHANNELS[size])),
    **_sizes("daformer", MIT_CONFIGS, lambda _: separable_aspp_head),
    **_sizes("daformer_isa", MIT_CONFIGS, lambda _: interlaced_head),
    **_sizes("daformer_conv1", MIT_CONFIGS, lambda _: segformer_head_of(EMBED_CHANNELS)),
    **_sizes("knet", MIT_CONFIGS, lambda _: knet_head),
}


def build_hrda(name: str, num_classes: int) -> SegmentationModel:
    """HRDA around the model named behind the prefix: one of MODELS or of timm's. ModelUnsuitable for others."""
    inner = name.removeprefix(HRDA)
    if has_light_decoder(inner):
        plain = inner.replace("hamlet", "segformer")
        raise ModelUnsuitable(f"{name}: HRDA has no place for a light decoder; use {HRDA}{plain}")
    if inner not in MODELS and not inner.startswith(TIMM):
        near = difflib.get_close_matches(inner, MODELS, n=3, cutoff=0.4) or list(MODELS)
        raise ModelUnsuitable(
            f"{name}: HRDA needs an encoder and a head that are known here, {HRDA}{TIMM}ENCODER or {HRDA}MODEL; "
            f"nearest: {', '.join(HRDA + model for model in near)}"
        )
    return hrda_of(name, build_model(inner, num_classes=num_classes))


FAMILIES: dict[str, Callable[[str, int], SegmentationModel]] = {  # by the prefix of a name
    TIMM: build_timm,
    HRDA: build_hrda,
    "hf:": build_hugging_face,
}
FORMS = (
    "timm:ENCODER or timm:ENCODER+HEAD (an encoder of timm, such as timm:swin_tiny_patch4_window7_224)",
    "hrda:MODEL (one of these in several resolutions, such as hrda:daformer_b5 or hrda:timm:convnext_tiny)",
    "hf:FOLDER (a segmentation network of Hugging Face's transformers, saved there)",
    "package.module:function (your own; called with the number of classes, returns a module that gives logits)",
)


def is_known(name: str) -> bool:
    """Whether the name is one of MODELS, or of a form that models are built by."""
    return name in MODELS or ":" in name


def is_imported(name: str) -> bool:
    """Whether building it runs code the name points at: never do so for a name that comes out of a file."""
    return ":" in name and not name.startswith(tuple(FAMILIES))


def has_light_decoder(name: str) -> bool:
    """Whether checkpoints of the model must bring a light decoder along: HAMLET's, which is a SegFormer with one."""
    return name.startswith("hamlet_")


def build_model(name: str, *, num_classes: int) -> SegmentationModel:
    """The named network with random weights; ValueError naming the nearest models for an unknown name."""
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    for prefix, build in FAMILIES.items():
        if name.startswith(prefix):
            return build(name, num_classes)
    if is_imported(name):
        return build_imported(name, num_classes)
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.4) or list(MODELS)
        raise ValueError(f"model must be one of the known names, got {name!r}; nearest: {', '.join(near)}")
    return MODELS[name](num_classes)
