"""Mean IoU of a network on labelled samples, for the progress of training; runs are scored by `evaluation`."""

# B batch, H height, W width, K classes

import contextlib

import torch
from torch import nn

from models.preprocess import labels_of, normalise
from replay.pool import SamplePool
from streams.frame import IGNORE_LABEL

BATCH = 8


@torch.no_grad()
def mean_iou(model: nn.Module, pool: SamplePool, *, device: torch.device, precision: torch.dtype) -> float:
    """Points, 0 to 100: mean over the classes present in labels or predictions; logits upsampled to the labels'
    size.
    """
    num_classes = pool.counts_NK.shape[1]
    confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
    uses_autocast = precision != torch.float32
    for first in range(0, len(pool), BATCH):
        images_BHWC = pool.images_NHWC[first : first + BATCH].to(device)
        labels_BHW = pool.labels_NHW[first : first + BATCH].to(device)
        with torch.autocast(device.type, precision) if uses_autocast else contextlib.nullcontext():
            logits_BKhw = model(normalise(images_BHWC))
        predicted_BHW = labels_of(logits_BKhw.float(), pool.size_HW)
        valid = labels_BHW != IGNORE_LABEL
        codes = labels_BHW[valid].long() * num_classes + predicted_BHW[valid].long()
        confusion += torch.bincount(codes, minlength=num_classes * num_classes)
    confusion_KK = confusion.view(num_classes, num_classes).double()
    hits_K = confusion_KK.diagonal()
    union_K = confusion_KK.sum(dim=0) + confusion_KK.sum(dim=1) - hits_K
    return float((hits_K[union_K > 0] / union_K[union_K > 0]).mean()) * 100.0
