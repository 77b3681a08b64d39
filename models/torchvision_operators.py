"""The operators torchvision cannot be imported without, declared where its compiled library does not load.

timm depends on torchvision, and package indexes serve torchvision built for CUDA also to machines whose torch is a
CPU build. Its compiled library then does not load; torchvision says nothing about that, but importing it ends in
"operator torchvision::nms does not exist", as it gives shape functions to two operators of that library
(https://github.com/pytorch/vision/issues/8985). No network uses them: non-maximum suppression is for boxes. With their
schemas declared, and no kernels, the import succeeds, and calling them would still fail.

    declare_missing_operators()
    import timm
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch

NAMES = ("nms", "qnms")  # what torchvision 0.28 gives shape functions to, whether its library is there or not
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_missing_operators() -> None:
    """Does nothing where torchvision is whole, or is not there; torchvision must not have been imported."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _has("nms"):
        return
    _load_library(Path(spec.origin).parent)
    if not _has("nms"):
        for name in NAMES:
            torch.library.define(f"torchvision::{name}", SCHEMA)


def _load_library(folder: Path) -> None:
    """As torchvision does it: what the library registers is then there already, and loading it again is nothing."""
    load: Any = torch.ops.load_library  # not annotated in torch
    for library in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            load(library)
        except OSError:
            continue


def _has(name: str) -> bool:
    return hasattr(torch.ops.torchvision, name)
