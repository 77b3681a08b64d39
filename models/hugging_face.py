"""Segmentation networks of Hugging Face's transformers, out of a folder with their configuration and safetensors.

    model = build_hugging_face("hf:path/to/folder", 19)
    model, classes = read_hugging_face("hf:path/to/folder")       # with whatever classes it has

Networks for semantic segmentation (SegFormer, UPerNet, DPT, BEiT, ...) give logits. Universal ones (Mask2Former,
MaskFormer, OneFormer, EoMT) give queries, each a class and a mask; here they become logits too. Nothing is downloaded,
no code of a folder is run and no pickle is read. `transformers` is an optional dependency: pip install
'udaseg-runtime[hf]'.
"""

# B batch, Q queries, K classes, H height, W width, h w of masks, T tokens

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any  # transformers has no types here

import torch
from torch import Tensor, nn

from models.encoder import ModelUnsuitable
from models.renormalise import IMAGENET_MEAN, IMAGENET_STD
from models.segformer import SegmentationModel
from models.timm_encoder import Entry
from models.torchvision_operators import declare_missing_operators
from models.whole_network import whole_network

PREFIX = "hf:"
UNIVERSAL = ("ForUniversalSegmentation", "ForInstanceSegmentation")  # ends of the names of classes that give queries
TASK = "the task is semantic"  # what OneFormer is told, as its processor words it
EPS = 1e-6  # probability below which a class counts as absent


def build_hugging_face(name: str, num_classes: int) -> SegmentationModel:
    """The network with the weights of its folder; ModelUnsuitable where it cannot be had, or has other classes."""
    model, classes = read_hugging_face(name)
    if len(classes) != num_classes:
        raise ModelUnsuitable(f"{name}: has {len(classes)} classes ({classes[0]}, ...), expected {num_classes}")
    return model


def read_hugging_face(name: str) -> tuple[SegmentationModel, tuple[str, ...]]:
    """The network and the names of its classes; ModelUnsuitable where it cannot be had."""
    folder = Path(name.removeprefix(PREFIX)).expanduser()
    config = _json(name, folder / "config.json")
    network = _network(name, folder, (config.get("architectures") or [""])[0])
    logits = QueriesToLogits(network, _task(name, folder, network)) if _is_universal(network) else PlainLogits(network)
    classes = tuple(str(network.config.id2label[number]) for number in sorted(network.config.id2label))
    return _sized(name, logits, folder, len(classes)).eval(), classes


def semantic_logits(classes_BQC: Tensor, masks_BQhw: Tensor) -> Tensor:
    """Log of sum_q p(class | q) sigmoid(mask_q), (B, K, h, w); the last of the C = K + 1 classes is "none".

    The semantic inference of MaskFormer and Mask2Former (Cheng et al. 2021, arXiv 2107.06278, section 3.4). Its softmax
    over classes is those scores divided by their sum.
    """
    p_BQK = classes_BQC.softmax(dim=-1)[..., :-1]
    return (torch.einsum("bqk,bqhw->bkhw", p_BQK, masks_BQhw.sigmoid()) + EPS).log()


class PlainLogits(nn.Module):
    """Image to logits, of a network that gives them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits_BKhw: Tensor = self.network(pixel_values=x_B3HW).logits
        return logits_BKhw


class QueriesToLogits(nn.Module):
    """Image to logits, of a network that gives queries; `task_1T` is what OneFormer must be told."""

    def __init__(self, network: nn.Module, task_1T: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        self.task_1T: Tensor | None
        self.register_buffer("task_1T", task_1T, persistent=False)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        told = {} if self.task_1T is None else {"task_inputs": self.task_1T.expand(x_B3HW.shape[0], -1)}
        outputs = self.network(pixel_values=x_B3HW, **told)
        return semantic_logits(outputs.class_queries_logits, outputs.masks_queries_logits)


def _is_universal(network: nn.Module) -> bool:
    return type(network).__name__.endswith(UNIVERSAL)


def _network(name: str, folder: Path, architecture: str) -> Any:
    transformers = _transformers(name)
    try:
        auto = (
            transformers.AutoModelForUniversalSegmentation
            if architecture.endswith(UNIVERSAL)
            else transformers.AutoModelForSemanticSegmentation
        )
        loaded = auto.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise ModelUnsuitable(f"{name}: transformers cannot load it ({_one_line(error)})") from error
    return loaded.float()


def _transformers(name: str) -> Any:
    declare_missing_operators()
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelUnsuitable(f"{name}: transformers is not installed; pip install 'udaseg-runtime[hf]'") from error
    transformers.utils.logging.disable_progress_bar()  # a second's work, and the terminal is the panel's
    return transformers


def _task(name: str, folder: Path, network: Any) -> Tensor | None:
    """Tokens of OneFormer's task (1, T), padding as zeros; None for networks that are told nothing."""
    if network.config.model_type != "oneformer":
        return None
    try:
        tokenizer = _transformers(name).AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelUnsuitable(f"{name}: OneFormer needs its tokenizer in the folder ({_one_line(error)})") from error
    length = network.config.task_seq_len
    tokens = tokenizer([TASK], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    task_1T: Tensor = tokens["input_ids"] * tokens["attention_mask"]
    return task_1T


def _sized(name: str, logits: nn.Module, folder: Path, num_classes: int) -> SegmentationModel:
    """For any image size where the network takes any, else for the one it was trained at."""
    path = folder / "preprocessor_config.json"
    settings = _json(name, path) if path.is_file() else {}
    mean, std = _statistics(settings)
    if settings.get("do_flip_channel_order"):
        logits = nn.Sequential(FlippedChannels(), logits)
    try:
        return whole_network(name, logits, num_classes=num_classes, entry=Entry(mean, std))
    except ModelUnsuitable:
        config = _json(name, folder / "config.json")
        side = config.get("image_size")
        if not isinstance(side, int | list):
            raise
        fixed_HW = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        return whole_network(name, logits, num_classes=num_classes, entry=Entry(mean, std, fixed_HW=fixed_HW))


class FlippedChannels(nn.Module):
    """RGB to BGR, which MobileViT was trained with."""

    def forward(self, x_B3HW: Tensor) -> Tensor:
        return x_B3HW.flip(1)


def _statistics(settings: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation the images are normalised with, of RGB in [0, 1]; ImageNet's where nothing is said."""
    if settings.get("do_normalize") is False:
        return [0.0] * 3, [1.0] * 3
    return settings.get("image_mean", IMAGENET_MEAN), settings.get("image_std", IMAGENET_STD)


def _json(name: str, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fault = f"{path.name} cannot be read ({_one_line(error)})"
        raise ModelUnsuitable(f"{name}: {fault}; give the folder of a saved model") from error
    if not isinstance(values, dict):
        raise ModelUnsuitable(f"{name}: {path.name} holds no settings; give a saved model's folder")
    return values


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
