"""Self-training on the surest half of every class: a jittered, blurred view of the frame against the teacher's labels.

The idea of CoTICA (2025): thresholds are percentiles of a class's own confidence in the frame rather than one number
for all (`models.pseudo_labels`), and hard classes weigh more. How hard a class is, is one minus its mean confidence,
averaged over the frames that showed it; weights are in proportion to that and one on average over the classes the frame
shows. Needs no labels: source-free.
"""

# B batch, H height, W width, K classes, N pixels

import torch
from torch import Tensor

from models.losses import IGNORE_LABEL, cross_entropy
from models.preprocess import normalise, to_tensor
from models.pseudo_labels import sure_of_class
from models.segformer import SegmentationModel
from replay.augment import crop_of_share, strong_augmentation
from runtime.adaptation.labelling import Labelling
from runtime.adaptation.method import Materials, Target
from runtime.state import State, kept

SMOOTHING = 0.9  # share that a class's hardness keeps from one frame that shows it to the next
EASIEST = 0.05  # least hardness: an easy class still has a voice


class ClassPercentile:
    """A term; `weight` multiplies its loss."""

    def __init__(self, given: Materials, *, weight: float = 1.0) -> None:
        self._device = given.device
        self._generator = given.generator
        self._labelling = Labelling(given)
        self._weight = weight
        self._hardness_K = torch.full((given.frozen.num_classes,), torch.nan)

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Mean over the kept pixels, each at its class's weight; 0 where none is sure enough."""
        image_HWC, _ = crop_of_share(
            to_tensor(target.image_HWC), to_tensor(target.labels_HW), target.crop_share, generator=self._generator
        )
        with torch.no_grad():
            logits_BKHW = self._labelling.teacher(student)(normalise(image_HWC[None].to(self._device)))
            confidence_BHW, labels_BHW = logits_BKHW.softmax(dim=1).max(dim=1)
        self._notice(confidence_BHW, labels_BHW)
        kept_BHW = sure_of_class(confidence_BHW, labels_BHW, num_classes=logits_BKHW.shape[1])
        believed_BHW = torch.where(kept_BHW, labels_BHW, IGNORE_LABEL)
        view_BHWC = strong_augmentation(image_HWC[None], generator=self._generator)
        logits_BKHW = student(normalise(view_BHWC.to(self._device)))
        weights_K = self.class_weights(labels_BHW).to(self._device)
        return self._weight * cross_entropy(logits_BKHW, believed_BHW, class_weights_K=weights_K)

    def class_weights(self, labels_BHW: Tensor) -> Tensor:
        """(K,): hardness over its mean among the classes in `labels_BHW`; 1 for classes never seen."""
        hardness_K = self._hardness_K.clamp(min=EASIEST)
        weights_K: Tensor = hardness_K / hardness_K[torch.unique(labels_BHW).cpu()].nanmean()
        return weights_K.nan_to_num(nan=1.0)

    def _notice(self, confidence_BHW: Tensor, labels_BHW: Tensor) -> None:
        for label in torch.unique(labels_BHW).tolist():
            new = 1.0 - confidence_BHW[labels_BHW == label].mean().cpu()
            old = self._hardness_K[label]
            self._hardness_K[label] = new if old.isnan() else torch.lerp(new, old, SMOOTHING)

    def state(self) -> State:
        """How hard classes were, and the labelling's."""
        return {"hardness": kept(self._hardness_K), "labelling": self._labelling.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"hardness": Tensor() as hardness_K, "labelling": dict(labelling)}:
                self._hardness_K = hardness_K.clone()
                self._labelling.load_state(labelling)
            case _:
                raise ValueError(f"not the state of class percentiles: it has the keys {sorted(state)}")
