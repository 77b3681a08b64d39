"""Small networks of timm, one of each family that matters, built once and copied."""

import copy
from functools import cache

import torch

from models.segformer import SegmentationModel
from models.zoo import build_model

CONVNEXT, SWIN = "timm:test_convnext", "timm:swin_tiny_patch4_window7_224"
PVT, RESNET = "timm:pvt_v2_b0", "timm:test_resnet"
VIT, ROTARY = "timm:test_vit", "timm:vit_small_patch16_dinov3"
NUM_CLASSES = 5


@cache
def _built(name: str) -> SegmentationModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(name, num_classes=NUM_CLASSES).eval()


def sample(name: str) -> SegmentationModel:
    """A copy of the caller's own, always with the same random weights."""
    return copy.deepcopy(_built(name))


def image(height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(1))
