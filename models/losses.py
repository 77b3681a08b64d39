"""Losses on logits, as free functions. They know nothing of methods, schedules or teachers.

Labels are train ids (uint8 or int64) with 255 for "do not score". Logits come at stride 4; on a CPU it is several times
cheaper to bring the labels there (`shrink_labels`, nearest) than the logits to the labels' size
(`models.preprocess.upsample_logits`); published training does the latter.

    loss = cross_entropy(model(x_B3HW), shrink_labels(labels_BHW, logits_BKHW.shape[-2:]))
"""

# B batch, K classes, H height, W width, N pixels (B * H * W)

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE_LABEL = 255
Norm = Literal["all", "valid", "weight"]


def cross_entropy(
    logits_BKHW: Tensor, labels_BHW: Tensor, *, class_weights_K: Tensor | None = None, norm: Norm = "valid"
) -> Tensor:
    """Sum of -w_y log p_y over the pixels whose label is not 255, divided by what `norm` says.

    "valid": the number of those pixels (OpenMMLab's avg_non_ignore=True), "all": that of all pixels, ignored ones
    included, so that many of them make a batch quiet (its default), "weight": the sum of w_y (torch's own mean). 0 with
    a gradient of 0 where no pixel is labelled.
    """
    labels_N = _flat_labels(labels_BHW)
    total = F.cross_entropy(
        _flat_logits(logits_BKHW), labels_N, weight=class_weights_K, ignore_index=IGNORE_LABEL, reduction="sum"
    )
    if norm == "all":
        return total / max(1, labels_N.numel())
    is_valid_N = labels_N != IGNORE_LABEL
    if norm == "weight" and class_weights_K is not None:
        sum_of_weights = (class_weights_K[torch.where(is_valid_N, labels_N, 0)] * is_valid_N).sum()
        return total / sum_of_weights.clamp(min=torch.finfo(total.dtype).tiny)
    return total / is_valid_N.sum().clamp(min=1)


def weighted_cross_entropy(logits_BKHW: Tensor, labels_BHW: Tensor, weights_BHW: Tensor) -> Tensor:
    """Mean over ALL pixels of weight * -log p_y, ignored ones counting as 0.

    The target loss of DACS (Tranheden et al. 2021, arXiv 2007.08702, eq. 2) and DAFormer (Hoyer et al. 2022, arXiv
    2111.14887, eq. 4). Dividing by all pixels keeps a batch of few trusted pixels quiet.
    """
    losses_N = F.cross_entropy(
        _flat_logits(logits_BKHW), _flat_labels(labels_BHW), ignore_index=IGNORE_LABEL, reduction="none"
    )
    return (losses_N * weights_BHW.reshape(-1)).mean()


def soft_cross_entropy(logits_BKHW: Tensor, targets_BKHW: Tensor) -> Tensor:
    """Mean over pixels of -sum_k q_k log p_k, q a teacher's (CoTTA, Wang et al. 2022, arXiv 2203.13591, eq. 1)."""
    return soft_cross_entropies(logits_BKHW, targets_BKHW).mean()


def soft_cross_entropies(logits_BKHW: Tensor, targets_BKHW: Tensor) -> Tensor:
    """The same pixel by pixel, (B, H, W)."""
    return -(targets_BKHW * F.log_softmax(logits_BKHW, dim=1)).sum(dim=1)


def symmetric_cross_entropies(one_BKHW: Tensor, other_BKHW: Tensor) -> Tensor:
    """Half of each cross-entropy between two answers given as log-probabilities, (B, H, W): -(q log p + p log q) / 2.

    The consistency of RMT (Doebler et al. 2023, arXiv 2211.13081) and ROID (Marsden et al. 2024, arXiv 2306.00650).
    """
    return -0.5 * (other_BKHW.exp() * one_BKHW + one_BKHW.exp() * other_BKHW).sum(dim=1)


def soft_likelihood_ratios(logits_BKHW: Tensor, *, clip: float = 0.99, eps: float = 1e-5) -> Tensor:
    """-sum_k p_k log(p_k / (1 - p_k) + eps) pixel by pixel, (B, H, W): negative where the answer is sure.

    Unlike that of entropy its gradient does not fade as an answer becomes sure (Marsden et al. 2024, ROID, arXiv
    2306.00650). Probabilities are cut at `clip`, beyond which nothing is learnt, as in the authors' code.
    """
    p_BKHW = F.softmax(logits_BKHW, dim=1).clamp(max=clip)
    return -(p_BKHW * (p_BKHW / (1.0 - p_BKHW) + eps).log()).sum(dim=1)


def reverse_cross_entropy(logits_BKHW: Tensor, labels_BHW: Tensor, *, floor: float = 1e-4) -> Tensor:
    """Mean of -sum_k p_k log q_k over the pixels whose label is not 255, q one-hot with `floor` for 0; 0 without any.

    What is wrong costs -log(floor) times its probability, however sure: labels may be noisy (Wang et al. 2019,
    "Symmetric cross entropy", arXiv 1908.06112, eq. 6; the floor is ProDA's and OnDA's).
    """
    labels_N = _flat_labels(labels_BHW)
    is_valid_N = labels_N != IGNORE_LABEL
    p_NK = F.softmax(_flat_logits(logits_BKHW), dim=1)
    p_N = p_NK.gather(1, torch.where(is_valid_N, labels_N, 0)[:, None])[:, 0]
    return -math.log(floor) * ((1.0 - p_N) * is_valid_N).sum() / is_valid_N.sum().clamp(min=1)


def mean_negative_log_probability(logits_BKHW: Tensor) -> Tensor:
    """Mean over pixels and classes of -log p_k, which keeps answers from becoming too sure: but for a constant the
    divergence from a guess (MRKLD, Zou et al. 2019, arXiv 1908.09822, table 1).
    """
    return -F.log_softmax(logits_BKHW, dim=1).mean()


def pixel_entropy(logits_BKHW: Tensor) -> Tensor:
    """Entropy -sum_k p_k log p_k of every pixel's answer, (B, H, W) in nats: 0 for a sure one, ln K for a guess."""
    log_p_BKHW = F.log_softmax(logits_BKHW, dim=1)
    return -(log_p_BKHW.exp() * log_p_BKHW).sum(dim=1)


def soft_entropy(logits_BKHW: Tensor) -> Tensor:
    """Mean entropy over pixels, in nats (TENT, Wang et al. 2021, arXiv 2006.10726)."""
    return pixel_entropy(logits_BKHW).mean()


def shrink_labels(labels_BHW: Tensor, size_HW: tuple[int, int] | torch.Size) -> Tensor:
    """Labels at a smaller size: each result pixel takes the label under its centre. Same dtype."""
    H, W = labels_BHW.shape[-2:]
    if tuple(size_HW) == (H, W):
        return labels_BHW
    rows = _centres(size_HW[0], H, labels_BHW.device)
    columns = _centres(size_HW[1], W, labels_BHW.device)
    return labels_BHW[:, rows[:, None], columns]


def _centres(num_out: int, num_in: int, device: torch.device) -> Tensor:
    return torch.div((2 * torch.arange(num_out, device=device) + 1) * num_in, 2 * num_out, rounding_mode="floor")


def _flat_logits(logits_BKHW: Tensor) -> Tensor:
    """(N, K); a view when the memory is channels_last."""
    return logits_BKHW.permute(0, 2, 3, 1).reshape(-1, logits_BKHW.shape[1])


def _flat_labels(labels_BHW: Tensor) -> Tensor:
    return labels_BHW.reshape(-1).long()
