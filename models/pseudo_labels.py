"""Which pseudo-labels to believe: functions of a teacher's logits and labels. They know no methods and no schedules.

    kept_BHW = sure_of_class(confidence_BHW, labels_BHW, num_classes=19)
    believed_BHW = torch.where(kept_BHW, labels_BHW, IGNORE_LABEL)
"""

# B batch, K classes, H height, W width, N pixels of one class

import math

import torch
from torch import Tensor

KEPT_SHARE = 0.5
LEAST_CONFIDENCE = 0.6
CORE_CONFIDENCE = 0.9


def sure_of_class(
    confidence_BHW: Tensor,
    labels_BHW: Tensor,
    *,
    num_classes: int,
    share: float = KEPT_SHARE,
    floor: float = LEAST_CONFIDENCE,
) -> Tensor:
    """Which pixels (bool) are among the surest `share` of their class in their image, and at least `floor` sure.

    A threshold for each image and class instead of one for all, so that rare and hard classes keep a voice: the idea of
    CoTICA (2025). Of N pixels of a class ceil(share N) are kept, and those as sure as the last of them. Labels of
    `num_classes` and above (ignored ones) are never kept. ValueError for a share outside (0, 1].
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"pseudo_labels.share must be in (0, 1], got {share}")
    kept_BHW = torch.zeros_like(labels_BHW, dtype=torch.bool)
    for confidence_HW, labels_HW, kept_HW in zip(confidence_BHW, labels_BHW, kept_BHW, strict=True):
        for label in torch.unique(labels_HW).tolist():
            if label < num_classes:
                is_class_HW = labels_HW == label
                sure_N = confidence_HW[is_class_HW]
                num_dropped = sure_N.numel() - math.ceil(share * sure_N.numel())
                threshold = sure_N.kthvalue(num_dropped + 1).values
                kept_HW |= is_class_HW & (confidence_HW >= threshold)
    return kept_BHW & (confidence_BHW >= floor)


def core_pixels(
    confidence_BHW: Tensor, labels_BHW: Tensor, mirrored_labels_BHW: Tensor, *, least: float = CORE_CONFIDENCE
) -> Tensor:
    """Which pixels (bool) are of a class's core: more than `least` sure and called the same from the mirrored view.

    The rest are boundary, where a label may guide but not bind: HBCA (CVPR 2026). `mirrored_labels_BHW` are the labels
    of the mirrored image, mirrored back.
    """
    return (confidence_BHW > least) & (labels_BHW == mirrored_labels_BHW)


def prototype_loss(
    embedding_BEHW: Tensor, labels_BHW: Tensor, is_core_BHW: Tensor, prototypes_KE: Tensor, *, is_known_K: Tensor
) -> Tensor:
    """Core pixels are pulled onto their class's prototype, boundary pixels only turned towards it: a mean over both.

    Core: ||e - p||^2 / ||p||^2. Boundary: 1 - cos(e, p), which leaves the length of e alone (HBCA's rule for hyperbolic
    prototypes, brought to Euclidean ones; there, distances on boundary pixels hurt). Pixels of classes without a
    prototype do not count; 0 with a gradient of 0 where none counts.
    """
    num_classes = prototypes_KE.shape[0]
    index_BHW = labels_BHW.long().clamp(max=num_classes - 1)
    counts_BHW = is_known_K[index_BHW] & (labels_BHW < num_classes)
    e_PE = embedding_BEHW.permute(0, 2, 3, 1)[counts_BHW]
    p_PE = prototypes_KE[index_BHW[counts_BHW]]
    distance_P = (e_PE - p_PE).square().sum(dim=1) / p_PE.square().sum(dim=1).clamp(min=1e-12)
    turn_P = 1.0 - torch.cosine_similarity(e_PE, p_PE, dim=1)
    return torch.where(is_core_BHW[counts_BHW], distance_P, turn_P).sum() / max(1, e_PE.shape[0])
