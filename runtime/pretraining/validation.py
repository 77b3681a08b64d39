"""Mean IoU of a network on labelled samples, for the progress of training; runs are scored by `evaluation`."""

# B batch, H height, W width, K classes

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.preprocess import labels_of, normalise
from replay.pool import LabelledPool
from replay.published import keep_ratio_size
from streams.frame import IGNORE_LABEL
from streams.images import rescale_image

BATCH = 8


@torch.no_grad()
def mean_iou(
    model: nn.Module,
    pool: LabelledPool,
    *,
    device: torch.device,
    precision: torch.dtype,
    scale_HW: tuple[int, int] | None = None,
) -> float:
    """Points, 0 to 100: mean over the classes present in labels or predictions; logits upsampled to the labels'
    size.

    With a scale as mmsegmentation scores: images one by one, brought within the scale with their ratio kept, against
    labels as they are.
    """
    num_classes = pool.counts_NK.shape[1]
    confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
    uses_autocast = precision != torch.float32
    for images_BHWC, labels_BHW in _batches(pool) if scale_HW is None else _rescaled(pool, scale_HW):
        labels_BHW = labels_BHW.to(device)
        with torch.autocast(device.type, precision) if uses_autocast else contextlib.nullcontext():
            logits_BKhw = model(normalise(images_BHWC.to(device)))
        predicted_BHW = labels_of(logits_BKhw.float(), (labels_BHW.shape[1], labels_BHW.shape[2]))
        valid = labels_BHW != IGNORE_LABEL
        codes = labels_BHW[valid].long() * num_classes + predicted_BHW[valid].long()
        confusion += torch.bincount(codes, minlength=num_classes * num_classes)
    confusion_KK = confusion.view(num_classes, num_classes).double()
    hits_K = confusion_KK.diagonal()
    union_K = confusion_KK.sum(dim=0) + confusion_KK.sum(dim=1) - hits_K
    return float((hits_K[union_K > 0] / union_K[union_K > 0]).mean()) * 100.0


def _batches(pool: LabelledPool) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, H, W, 3) and labels (B, H, W) of samples of one size."""
    for first in range(0, len(pool), BATCH):
        samples = [pool.sample(index) for index in range(first, min(len(pool), first + BATCH))]
        yield torch.stack([image for image, _ in samples]), torch.stack([label for _, label in samples])


def _rescaled(pool: LabelledPool, scale_HW: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    for index in range(len(pool)):
        image_HWC, label_HW = pool.sample(index)
        size_HW = keep_ratio_size((label_HW.shape[0], label_HW.shape[1]), scale_HW)
        yield torch.from_numpy(rescale_image(image_HWC.numpy(), size_HW))[None], label_HW[None]
