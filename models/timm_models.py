"""Segmentation models around encoders of timm, by name: `timm:ENCODER` or `timm:ENCODER+HEAD`.

    model = build_timm("timm:swin_tiny_patch4_window7_224", 19)             # SegFormer's all-MLP head
    model = build_timm("timm:vit_small_patch14_dinov2+upernet", 19)
    model = build_timm("timm:resnet50+deeplabv3plus", 19)                   # dilated to stride 16

Any architecture of timm that gives features at four depths will do. Weights are random: nothing is ever downloaded;
`load_timm_encoder` reads a safetensors file the user has. timm is imported when a name asks for it, as that takes a
second or two.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.daformer import separable_aspp_head
from models.deeplab import DeepLabV2Head, DeepLabV3PlusHead
from models.dense_heads import LinearHead, UperNetHead
from models.encoder import ModelUnsuitable
from models.head import Head
from models.hrda import PREFIX as HRDA
from models.hrda import HrdaEncoder
from models.knet import KNetHead
from models.mit import NUM_STAGES
from models.segformer import SegFormerHead, SegmentationModel
from models.tensorfile import CheckpointInvalid, read_tensors
from models.timm_encoder import Entry, IntermediateLayers, Stage, StagedEncoder, WholeEncoder
from models.torchvision_operators import declare_missing_operators

PREFIX = "timm:"
EMBED_CHANNELS = 256
TRIAL_HW = (70, 90)  # of the pass that shows which sizes a network takes: divided by next to nothing, and not square

# What architectures need to take any image size, most demanding first; timm cannot be asked which take which.
# Windows of Swin are always shifted, as in the published segmentation networks.
ANY_SIZE: tuple[Mapping[str, Any], ...] = (
    {"strict_img_size": False, "always_partition": True},
    {"strict_img_size": False},
    {"dynamic_img_size": True},
    {},
)


TimmEncoder = StagedEncoder | WholeEncoder


@dataclass(frozen=True, slots=True)
class HeadKind:
    """How a head is built from encoder and number of classes, and the stride the encoder is dilated to for it."""

    build: Callable[[TimmEncoder, int], Head]
    output_stride: int | None = None


def _upernet(encoder: TimmEncoder, num_classes: int) -> UperNetHead:
    return UperNetHead(encoder.channels, strides=encoder.strides, num_classes=num_classes)


HEADS: dict[str, HeadKind] = {
    "segformer": HeadKind(
        lambda encoder, K: SegFormerHead(encoder.channels, embed_channels=EMBED_CHANNELS, num_classes=K)
    ),
    "linear": HeadKind(lambda encoder, K: LinearHead(encoder.channels, num_classes=K)),
    "upernet": HeadKind(_upernet),
    "daformer": HeadKind(lambda encoder, K: separable_aspp_head(encoder.channels, K)),
    "knet": HeadKind(lambda encoder, K: KNetHead(_upernet(encoder, K))),
    "deeplabv2": HeadKind(lambda encoder, K: DeepLabV2Head(encoder.channels, num_classes=K), 8),
    "deeplabv3plus": HeadKind(lambda encoder, K: DeepLabV3PlusHead(encoder.channels, num_classes=K), 16),
}


def build_timm(name: str, num_classes: int) -> SegmentationModel:
    """The named model with random weights from torch's global generator; ModelUnsuitable where there is none.

    Without a head's name it is SegFormer's for a pyramid, a linear one for a plain ViT.
    """
    architecture, _, head = name.removeprefix(PREFIX).partition("+")
    if head and head not in HEADS:
        near = difflib.get_close_matches(head, HEADS, n=1, cutoff=0.0)
        raise ModelUnsuitable(f"{name}: no such head; nearest: {near[0]}, of {', '.join(HEADS)}")
    encoder = _encoder(architecture, HEADS[head].output_stride if head else None)
    kind = HEADS[head or ("linear" if len(set(encoder.strides)) == 1 else "segformer")]
    return SegmentationModel(name, encoder, kind.build(encoder, num_classes))


def load_timm_encoder(model: SegmentationModel, path: Path) -> None:
    """Fill the encoder of a `timm:` model, within HRDA too, from a safetensors file in the layout of timm or of the
    network's authors.

    timm maps the names, as for weights of its own. CheckpointInvalid where the file does not fit.
    """
    tensors, _ = read_tensors(path)
    architecture, _, head = model.name.removeprefix(HRDA).removeprefix(PREFIX).partition("+")
    try:
        encoder = _encoder(architecture, HEADS[head].output_stride if head else None, tensors)
    except (RuntimeError, KeyError) as error:
        fault = " ".join(str(error).split())[:300]
        raise CheckpointInvalid(f"{path}: not weights of {architecture} ({fault})") from error
    weights: nn.Module = encoder
    target: Any = model.encoder.base if isinstance(model.encoder, HrdaEncoder) else model.encoder
    target.load_state_dict(weights.state_dict())


def _encoder(
    architecture: str, output_stride: int | None, tensors: Mapping[str, Tensor] | None = None
) -> TimmEncoder:
    declare_missing_operators()
    import timm

    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.4)
        raise ModelUnsuitable(f"timm:{architecture}: timm has no such model; nearest: {', '.join(near) or 'none'}")
    given: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
    if tensors is not None:
        given |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(tensors)}}
    indices = tuple(range(-NUM_STAGES, 0))
    net = any_size_network(architecture, {**given, "features_only": True, "out_indices": indices})
    channels, strides = net.feature_info.channels(), net.feature_info.reduction()
    entry, trained_HW = _entry(net), tuple(net.pretrained_cfg["input_size"][-2:])
    if isinstance(net, timm.models.FeatureListNet):
        staged = StagedEncoder(entry, _stages(net), channels=channels, strides=strides)
        return _tried(staged, architecture, trained_HW=trained_HW)
    if len(set(strides)) == 1 and hasattr(net, "model"):
        model = any_size_network(architecture, {**given, "num_classes": 0})
        depth = len(model.feature_info)
        taken = [(quarter + 1) * depth // NUM_STAGES - 1 for quarter in range(NUM_STAGES)]
        model.prune_intermediate_layers(taken, prune_norm=False, prune_head=True)
        body: nn.Module = IntermediateLayers(model, taken)
        infos = [model.feature_info[index] for index in taken]
        taps = [info["module"] for info in infos]
        channels = [info.get("num_chs_norm", info["num_chs"]) for info in infos]  # SAM's final norm narrows them
    else:
        body, taps = net, net.feature_info.module_name()
    whole = WholeEncoder(entry, body, channels=channels, strides=strides, taps=taps)
    return _tried(whole, architecture, trained_HW=trained_HW)


def any_size_network(architecture: str, given: Mapping[str, Any]) -> Any:
    """timm's network with options of its `create_model`, able to take any image size where its architecture can."""
    declare_missing_operators()
    import timm

    for extra in ANY_SIZE:
        try:
            return timm.create_model(architecture, **given, **extra)
        except TypeError as error:
            fault: Exception = error
            if "unexpected keyword argument" not in str(error):
                break
        except (AssertionError, IndexError, NotImplementedError, ValueError) as error:
            fault = error
            break
    raise ModelUnsuitable(
        f"timm:{architecture}: does not give features at {NUM_STAGES} depths"
        f"{' and a dilated stride' if 'output_stride' in given else ''} ({' '.join(str(fault).split())[:200]})"
    )


def _stages(net: Any) -> Sequence[Stage]:
    """Cut after each layer that features are read from; between stages maps are (B, C, H, W)."""
    is_nhwc = str(net.output_fmt.value) == "NHWC"
    stages: list[Stage] = []
    layers: dict[str, nn.Module] = {}
    for name, layer in net.items():
        layers[name] = layer
        if name in net.return_layers:
            stages.append(Stage(layers, reads_nhwc=is_nhwc and len(stages) > 0, gives_nhwc=is_nhwc))
            layers = {}
    return stages


def _entry(net: Any) -> Entry:
    """Patches that do not overlap cover whole multiples only."""
    from timm.layers.patch_embed import PatchEmbed

    mean, std = net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
    patch_sizes = [module.patch_size for module in net.modules() if type(module) is PatchEmbed]
    return Entry(mean, std, multiple=max(patch_sizes[0]) if patch_sizes else 1)


def _tried(encoder: TimmEncoder, architecture: str, *, trained_HW: tuple[int, ...]) -> TimmEncoder:
    """The encoder, its entry so that a pass gives the maps it should: any size as it is, else whole multiples of the
    largest stride, else the size it was trained on. ModelUnsuitable where none does.

    A pass, as nothing else tells: networks name no sizes, and some do not fail but give maps of other channels.
    """
    entry, height, width = encoder.entry, *trained_HW
    multiples = (entry.multiple, math.lcm(entry.multiple, max(encoder.strides)))
    for multiple, fixed_HW in ((multiples[0], None), (multiples[1], None), (1, (height, width))):
        entry.multiple, entry.fixed_HW = multiple, fixed_HW
        fault = _fault(encoder)
        if fault is None:
            return encoder
    raise ModelUnsuitable(f"timm:{architecture}: does not run as an encoder ({fault}); choose another network")


def _fault(encoder: TimmEncoder) -> str | None:
    """What goes wrong in a pass on a small picture; None where nothing does."""
    encoder.eval()
    try:
        with torch.no_grad():
            maps_BChw = encoder(torch.zeros(1, 3, *TRIAL_HW))
        given = tuple(map_BChw.shape[1] for map_BChw in maps_BChw)
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    encoder.train()
    return None if given == encoder.channels else f"maps of {given} channels in place of {encoder.channels}"
