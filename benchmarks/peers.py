"""Other implementations of our networks, given our weights, to hold ours against.

    reference = hugging_face(ours)                                # None where it is not installed
    reference = plain_timm(ours)                                  # None where ours is no such network

Hugging Face's SegFormer keeps the published order of work (upsample, then project), and so does SegFormer's head on a
network of timm as timm runs it. Built from a configuration; nothing is downloaded.
"""

# B batch, K classes, H height, W width, h w of the logits

import copy
import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Any  # a library without types

import torch
from torch import Tensor, nn

from models.mit import MIT_CONFIGS
from models.segformer import SegFormerHead, SegmentationModel
from models.timm_encoder import StagedEncoder
from models.timm_models import PREFIX, any_size_network
from models.torchvision_operators import declare_missing_operators

# Their names (before and since version 5) and ours, applied in order.
RENAMES = (
    (r"^segformer\.", "encoder."),
    (r"encoder\.encoder\.patch_embeddings\.(\d)", r"encoder.stages.\1.patch_embed"),
    (r"encoder\.encoder\.block\.(\d)\.(\d+)", r"encoder.stages.\1.blocks.\2"),
    (r"encoder\.encoder\.layer_norm\.(\d)", r"encoder.stages.\1.norm"),
    (r"patch_embeddings?\.", "patch_embed."),
    (r"patch_embed\.layer_norm", "patch_embed.norm"),
    (r"^(encoder\.stages\.\d)\.layer_norm", r"\1.norm"),
    (r"layer_norm_1|layernorm_before", "norm1"),
    (r"layer_norm_2|layernorm_after", "norm2"),
    (r"attention\.(self\.)?", "attn."),
    (r"attn\.(query|q_proj)\.", "attn.q."),
    (r"attn\.(key|k_proj)\.", "attn.k."),
    (r"attn\.(value|v_proj)\.", "attn.v."),
    (r"attn\.(output\.dense|o_proj)\.", "attn.proj."),
    (r"attn\.sequence_reduction\.sequence_reduction\.", "attn.sr."),
    (r"attn\.(sequence_reduction\.)?layer_norm\.", "attn.norm."),
    (r"mlp\.dense1\.", "mlp.fc1."),
    (r"mlp\.dense2\.", "mlp.fc2."),
    (r"dwconv\.dwconv\.", "dwconv."),
    (r"^decode_head\.", "head."),
    (r"head\.linear_(c|projections)\.(\d)\.proj\.", r"head.linear_c.\2."),
    (r"head\.batch_norm\.", "head.bn."),
)


class Logits(nn.Module):
    """Their network as ours is called: images in, logits at a quarter of the size out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits_BKhw: Tensor = self.network(x_B3HW).logits
        return logits_BKhw


def hugging_face(ours: SegmentationModel) -> Logits | None:
    """Their SegFormer of the same size with the same weights, in eval mode; None where transformers is missing, or
    has no such network.
    """
    library, size = _transformers(), ours.name.removeprefix("segformer_")
    if library is None or size not in MIT_CONFIGS:
        return None
    mit = MIT_CONFIGS[size]
    config = library.SegformerConfig(
        hidden_sizes=list(mit.channels),
        depths=list(mit.depths),
        decoder_hidden_size=ours.head.embed_channels,
        num_labels=ours.num_classes,
    )
    network = library.SegformerForSemanticSegmentation(config)
    network.load_state_dict(their_state(ours.state_dict(), network.state_dict()))
    return Logits(network.eval())


class PlainTimm(nn.Module):
    """timm's feature network and SegFormer's head, each as published."""

    def __init__(self, entry: nn.Module, network: nn.Module, head: SegFormerHead, *, gives_nhwc: bool) -> None:
        super().__init__()
        self.entry = entry
        self.network = network
        self.head = head
        self.gives_nhwc = gives_nhwc

    def forward(self, x_B3HW: Tensor) -> Tensor:
        features = self.network(self.entry(x_B3HW))
        if self.gives_nhwc:
            features = [map_BHWC.permute(0, 3, 1, 2) for map_BHWC in features]
        logits_BKhw: Tensor = self.head.classifier(self.head.embed_plainly(features))
        return logits_BKhw


def plain_timm(ours: SegmentationModel) -> PlainTimm | None:
    """The same pyramid as timm makes it, same weights, in eval mode; None for other networks and other heads."""
    encoder, head = ours.encoder, ours.head
    if not (ours.name.startswith(PREFIX) and isinstance(encoder, StagedEncoder) and isinstance(head, SegFormerHead)):
        return None
    architecture = ours.name.removeprefix(PREFIX).partition("+")[0]
    network = any_size_network(architecture, {"features_only": True, "out_indices": (-4, -3, -2, -1)})
    named = {re.sub(r"^stages\.\d+\.", "", name): tensor for name, tensor in encoder.state_dict().items()}
    network.load_state_dict({name: named[name] for name in network.state_dict()})
    gives_nhwc = str(network.output_fmt.value) == "NHWC"
    return PlainTimm(encoder.entry, network, copy.deepcopy(head), gives_nhwc=gives_nhwc).eval()


def their_state(ours: Mapping[str, Tensor], theirs: Iterable[str]) -> dict[str, Tensor]:
    """Our tensors under their names; KeyError for a name of theirs that nothing of ours stands for."""
    state = {}
    for name in theirs:
        renamed = name
        for pattern, replacement in RENAMES:
            renamed = re.sub(pattern, replacement, renamed)
        state[name] = _tensor(ours, renamed)
    return state


def _tensor(ours: Mapping[str, Tensor], name: str) -> Tensor:
    """Keys and values, two tensors there, are one matrix here."""
    for half, part in enumerate((".attn.k.", ".attn.v.")):
        if part in name:
            return torch.chunk(ours[name.replace(part, ".attn.kv.")], 2)[half]
    return ours[name]


def _transformers() -> Any | None:
    """The library, which imports torchvision where it is installed."""
    declare_missing_operators()
    try:
        return importlib.import_module("transformers")
    except ImportError:
        return None
