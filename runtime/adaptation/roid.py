"""ROID: certain and diverse answers are made surer, kept alike in a second view, and the weights pulled to the source.

Marsden, Doebler and Yang, WACV 2024 (arXiv 2306.00650), in the authors' settings for ImageNet: affine parameters of
norms, SGD at 2.5e-4 with Nesterov's momentum, weights merged with 1 % of the source's after every step, temperature
1/3, momentum 0.9 of the mean answer. Batch norm keeps its source statistics here: theirs takes those of a batch of
images, and the transformers of their tables have no batch norm.

Carried over from a batch of images to one frame, the pixel is the sample: weights are scaled over the frame's pixels,
sums are divided by all of them, and the second view is warped together with the answers it is compared with. The prior
is estimated on the frame a step learns from and meets the next one (`prior.py`), as an answer is final before its frame
is learned from; probabilities are multiplied, as the paper derives it (the code multiplies logits). Its one fact about
the source besides the weights is how common each class was there: in the paper all are.
"""

# B batch, H height, W width (of images), h w (of logits), C channels, K classes

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import soft_likelihood_ratios, symmetric_cross_entropies
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors
from replay.second_view import random_warp, recoloured
from runtime.adaptation.anchoring import merge_to_source
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.prior import PriorCorrection
from runtime.state import State, kept

_TINY = 1e-12


class RoidSelfTraining(Method):
    """Source-free but for `source_K`, the classes' shares of the source's pixels (any positive multiple)."""

    def __init__(
        self,
        given: Materials,
        source_K: Tensor,
        *,
        temperature: float = 1 / 3,
        momentum: float = 0.9,
        keep: float = 0.99,
    ) -> None:
        self._given = given
        self._temperature = temperature
        self._momentum = momentum
        self._keep = keep
        self._source = adaptable_tensors(given.frozen)
        self._correction = PriorCorrection(given.frozen, source_K)
        num_classes = given.frozen.num_classes
        self._mean_K = torch.full((num_classes,), 1.0 / num_classes, device=given.device)
        self._prior_K = self._mean_K
        self._num_pixels = 1

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Weighted soft likelihood ratio, plus weighted symmetric cross-entropy between two views."""
        self._correction.take_off(student)
        image_BHWC = to_tensor(target.image_HWC)[None].to(self._given.device)
        logits_BKhw = student(normalise(image_BHWC))
        log_p_BKhw = F.log_softmax(logits_BKhw, dim=1)
        weights_Bhw = pixel_weights(log_p_BKhw.detach(), self._mean_K, temperature=self._temperature)
        self._note(log_p_BKhw.detach().exp())
        warp = random_warp(self._given.generator)
        view_BCHW = warp.apply(recoloured(image_BHWC, self._given.generator).permute(0, 3, 1, 2))
        view_log_p_BKhw = F.log_softmax(student(normalise(view_BCHW.permute(0, 2, 3, 1).mul(255.0))), dim=1)
        expected_BKhw = warp.apply(log_p_BKhw.exp()).clamp(min=_TINY).log()
        sureness = soft_likelihood_ratios(logits_BKhw) * weights_Bhw
        consistency = symmetric_cross_entropies(view_log_p_BKhw, expected_BKhw) * warp.apply(weights_Bhw[None])[0]
        return sureness.mean() + consistency.mean()

    def settle(self, student: SegmentationModel) -> None:
        """Pull all weights to the source's, then correct what is served for how common classes are now."""
        live = adaptable_tensors(student)
        merge_to_source(live, self._source, keep=self._keep)
        self._correction.put_on(student, self._prior_K, num_samples=self._num_pixels)

    def state(self) -> State:
        """The running mean answer; the correction is part of the student's weights."""
        return {"mean": kept(self._mean_K)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"mean": Tensor() as mean_K}:
                self._mean_K = mean_K.to(self._given.device)
            case _:
                raise ValueError(f"not the state of ROID: it has the keys {sorted(state)}")

    def _note(self, p_BKhw: Tensor) -> None:
        self._prior_K = p_BKhw.mean(dim=(0, 2, 3))
        self._num_pixels = p_BKhw.shape[0] * p_BKhw.shape[2] * p_BKhw.shape[3]
        self._mean_K = self._momentum * self._mean_K + (1.0 - self._momentum) * self._prior_K


def pixel_weights(log_p_BKhw: Tensor, mean_K: Tensor, *, temperature: float) -> Tensor:
    """exp(diversity * certainty / temperature) for each pixel, (B, h, w); 0 where diversity is below its mean.

    Diversity is 1 - cos(answer, mean answer), certainty the negative entropy, each scaled to [0, 1] over all pixels
    (ROID, "certainty and diversity weighting").
    """
    p_BKhw = log_p_BKhw.exp()
    diversity_Bhw = _scaled(1.0 - F.cosine_similarity(p_BKhw, mean_K[None, :, None, None], dim=1))
    certainty_Bhw = _scaled((p_BKhw * log_p_BKhw).sum(dim=1))
    weights_Bhw = (diversity_Bhw * certainty_Bhw / temperature).exp()
    return torch.where(diversity_Bhw < diversity_Bhw.mean(), 0.0, weights_Bhw)


def _scaled(x: Tensor) -> Tensor:
    """To [0, 1]; all 0 where all are equal."""
    return (x - x.min()) / (x.max() - x.min()).clamp(min=_TINY)
