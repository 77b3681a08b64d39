"""Prior correction: answers weighed by how common each class is now, held in the classifier's bias.

Bayes: p_now(y | x) ~ p_model(y | x) p_now(y) / p_source(y). Multiplying probabilities is adding to logits, and what is
added to every pixel's logits is a bias: so the correction is part of the served weights and prediction pays nothing.

    correction = PriorCorrection(frozen, source_shares_K)
    correction.take_off(student)          # before learning: the loss sees plain answers
    correction.put_on(student, prior_K)   # after it: what is served is corrected

It has a meaning only where that bias may be set and does not learn, which is trainable mode `norm`: a bias that learns
moves with the prior by itself, and one that is frozen is the source model's, too. `ServedPrior` is the same as a rule
any method can be joined with there (`components.py`).
"""

# K classes, B batch, h w height and width of logits

import torch
from torch import Tensor

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import CLASS_BIAS
from runtime.adaptation.method import Materials, Target
from runtime.option_words import ConfigError


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
    it leaves the model as it is, for a learnt bias moves with the prior by itself and a frozen one is shared. `share`
    in [0, 1] of the correction is put on.
    """

    def __init__(self, frozen: SegmentationModel, source_K: Tensor, *, share: float = 1.0) -> None:
        self._bias_K = _bias(frozen).detach().clone() if _is_settable(frozen) else torch.zeros(source_K.numel())
        self._source_K = (source_K.to(self._bias_K) / source_K.sum()).clone()
        self._share = share

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
                _bias(model).copy_(self._bias_K + self._share * correction_K)


class ServedPrior:
    """A rule: after every step the classifier's bias says how common classes are, by the weights just learnt and the
    frame of that step. It costs a forward pass and meets the next frame, as in ROID (`roid.py`). ConfigError where no
    bias may be set.
    """

    def __init__(self, given: Materials, *, share: float = 1.0) -> None:
        if not _is_settable(given.frozen):
            raise ConfigError(
                "--with prior: expected a classifier's bias that may be set, and here it learns by itself, is shared "
                "or is missing; add --trainable norm, or leave prior out"
            )
        source_K = torch.tensor(given.replay.statistics().pixels_by_class)
        self._correction = PriorCorrection(given.frozen, source_K, share=share)
        self._device = given.device
        self._target: Target | None = None

    def prepare(self, student: SegmentationModel, target: Target) -> None:
        """The losses see plain answers."""
        self._correction.take_off(student)
        self._target = target

    def settle(self, student: SegmentationModel) -> None:
        assert self._target is not None  # there was a loss
        with torch.no_grad():
            p_BKhw = student(normalise(to_tensor(self._target.image_HWC)[None].to(self._device))).softmax(dim=1)
        num_samples = p_BKhw.shape[0] * p_BKhw.shape[2] * p_BKhw.shape[3]
        self._correction.put_on(student, p_BKhw.mean(dim=(0, 2, 3)), num_samples=num_samples)


def _is_settable(model: SegmentationModel) -> bool:
    return CLASS_BIAS in model.adaptable_names and not _bias(model).requires_grad


def _bias(model: SegmentationModel) -> Tensor:
    return model.get_parameter(CLASS_BIAS)
