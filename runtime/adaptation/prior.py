"""Prior correction: answers weighed by how common each class is now, held in the classifier's bias.

Bayes: p_now(y | x) ~ p_model(y | x) p_now(y) / p_source(y). Multiplying probabilities is adding to logits, and what is
added to every pixel's logits is a bias: so the correction is part of the served weights and prediction pays nothing.

    correction = PriorCorrection(frozen, source_shares_K)
    correction.take_off(student)          # before learning: the loss sees plain answers
    correction.put_on(student, prior_K)   # after it: what is served is corrected
"""

# K classes

import torch
from torch import Tensor

from models.segformer import SegmentationModel
from models.trainable import CLASS_BIAS


def log_correction(prior_K: Tensor, source_K: Tensor, *, num_samples: int) -> Tensor:
    """log((p_k + g) / (q_k + g)), p the class shares now and q the source's, g = max(1 / N, 1 / K) / max_k p_k.

    The additive smoothing g is that of Marsden et al. 2024 (ROID, arXiv 2306.00650, "prior correction"); N is
    `num_samples`, what p is the mean of. The paper's sources are balanced, q = 1 / K, where this is theirs up to a
    constant.
    """
    smoothing = max(1.0 / num_samples, 1.0 / prior_K.numel()) / prior_K.max()
    return ((prior_K + smoothing) / (source_K + smoothing)).log()


class PriorCorrection:
    """Sets the classifier's bias where that may be set and does not learn by itself (trainable mode `norm`); elsewhere
    it leaves the model as it is, for a learnt bias moves with the prior by itself and a frozen one is shared.
    """

    def __init__(self, frozen: SegmentationModel, source_K: Tensor) -> None:
        self._bias_K = _bias(frozen).detach().clone() if _is_settable(frozen) else torch.zeros(source_K.numel())
        self._source_K = (source_K.to(self._bias_K) / source_K.sum()).clone()

    def take_off(self, model: SegmentationModel) -> None:
        """The source's bias again, exactly."""
        if _is_settable(model):
            with torch.no_grad():
                _bias(model).copy_(self._bias_K)

    def put_on(self, model: SegmentationModel, prior_K: Tensor, *, num_samples: int) -> None:
        """The source's bias plus the correction to class shares `prior_K`, the mean of `num_samples` answers."""
        if _is_settable(model):
            with torch.no_grad():
                correction_K = log_correction(prior_K, self._source_K, num_samples=num_samples)
                _bias(model).copy_(self._bias_K + correction_K)


def _is_settable(model: SegmentationModel) -> bool:
    return CLASS_BIAS in model.adaptable_names and not _bias(model).requires_grad


def _bias(model: SegmentationModel) -> Tensor:
    return model.get_parameter(CLASS_BIAS)
