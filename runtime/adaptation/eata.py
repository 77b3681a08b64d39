"""EATA: entropy minimised where it is reliable and new, without leaving what the source needs.

Niu et al., ICML 2022, arXiv 2204.02610. Of the answers below the entropy margin E0 = 0.4 ln K (equation 3) those are
kept that are unlike the running mean of what was learnt from (cosine below a limit, equations 4 and 5; the mean takes a
tenth of every step's). Each counts exp(E0 - entropy); a Fisher anchor of strength 2000 (equation 8) holds the norms.

Carried over to dense prediction, an image of the paper is a pixel here and its batch is the frame. Whole frames could
not be filtered: the mean answer of a frame is nearly that of the frame before it, so after the first one all would be
redundant. Where no pixel is left there is no step, and only the statistics of the batch norms go on.

The limit on the cosine depends on the number of classes, as an answer for one class has the cosine 1 / sqrt(K) with an
even mean: the authors have 0.05 for 1000 classes and 0.4 for 10. Here it is 0.05 sqrt(1000 / K), 0.36 for 19. With 0.05
itself some 1 % of the pixels would be learnt from, of classes hardly seen.

Settings of the released code otherwise: SGD with momentum 0.9; rate 0.001, which SAR's authors use for transformers
(0.00025 is for ResNet-50 with batch norms), at their batch of 64, as a frame holds more pixels than that. The anchor
needs source images once, unlabelled, hence a track of its own.
"""

# B batch, H height, W width, C channels, K classes

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import pixel_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from replay.buffer import ReplayBuffer
from runtime.adaptation.batch_statistics import own_statistics
from runtime.adaptation.entropy_filter import EntropyFilter, masked_mean
from runtime.adaptation.fisher_anchor import STRENGTH, measured_anchor
from runtime.adaptation.method import Method, Target
from runtime.state import State, kept

SIMILARITY = 0.05 * math.sqrt(1000)  # times 1 / sqrt(K): the greatest cosine with the mean that is still new
MEAN_SHARE = 0.1  # of a step's mean answer in the running mean


class Eata(Method):
    """Looks at source images when it is built (`fisher_anchor.py`), and never again."""

    def __init__(
        self,
        replay: ReplayBuffer,
        *,
        frozen: SegmentationModel,
        device: torch.device,
        fisher_strength: float = STRENGTH,
    ) -> None:
        num_classes = frozen.num_classes
        self._anchor = measured_anchor(replay, frozen, strength=fisher_strength)
        self._filter = EntropyFilter.of_classes(num_classes)
        self._max_similarity = SIMILARITY / math.sqrt(num_classes)
        self._device = device
        self._mean_K: Tensor | None = None

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Weighted mean entropy over the pixels kept plus the anchor's penalty; 0 without a graph where none is."""
        with own_statistics(student):
            logits_BKHW = student(normalise(to_tensor(target.image_HWC)[None].to(self._device)))
        entropy_BHW = pixel_entropy(logits_BKHW)
        probability_BKHW = logits_BKHW.detach().softmax(dim=1)
        chosen_BHW = self._filter.is_reliable(entropy_BHW.detach()) & self._is_new(probability_BKHW)
        if not bool(chosen_BHW.any()):
            return torch.zeros((), device=self._device)
        self._note(probability_BKHW, chosen_BHW)
        entropy = masked_mean(self._filter.weights(entropy_BHW) * entropy_BHW, chosen_BHW)
        return entropy + self._anchor.penalty(student)

    def state(self) -> State:
        """The running mean answer."""
        return {"mean": None if self._mean_K is None else kept(self._mean_K)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"mean": Tensor() | None as mean_K}:
                self._mean_K = None if mean_K is None else mean_K.to(self._device)
            case _:
                raise ValueError(f"not the state of EATA: it has the keys {sorted(state)}")

    def _is_new(self, probability_BKHW: Tensor) -> Tensor:
        """Where answers are unlike the mean of those learnt from, bool (B, H, W)."""
        if self._mean_K is None:
            return torch.ones_like(probability_BKHW[:, 0], dtype=torch.bool)
        return F.cosine_similarity(probability_BKHW, self._mean_K[None, :, None, None], dim=1) < self._max_similarity

    def _note(self, probability_BKHW: Tensor, chosen_BHW: Tensor) -> None:
        """Average in what is learnt from."""
        seen_K = probability_BKHW.permute(0, 2, 3, 1)[chosen_BHW].mean(dim=0)
        self._mean_K = seen_K if self._mean_K is None else torch.lerp(self._mean_K, seen_K, MEAN_SHARE)
