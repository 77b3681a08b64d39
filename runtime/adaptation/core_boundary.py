"""Core and boundary: sure pixels are pulled onto their class's prototype, doubtful ones only turned towards it.

The rule of HBCA (CVPR 2026) for Euclidean embeddings of the head (`models.pseudo_labels`). A pixel is of the core where
the teacher is more than 0.9 sure and calls it the same in the mirrored frame. Prototypes are the teacher's mean
embedding of each class's core, averaged over the frames that showed it; the original learns them on the source, with a
head retrained for them. Needs no labels: source-free.
"""

# B batch, E embedding channels, H height, W width, K classes

import torch
from torch import Tensor

from models.preprocess import normalise, to_tensor
from models.pseudo_labels import core_pixels, prototype_loss
from models.segformer import SegmentationModel
from replay.augment import crop_of_share
from runtime.adaptation.labelling import Labelling
from runtime.adaptation.method import Materials, Target
from runtime.state import State, kept

SMOOTHING = 0.99  # share that a prototype keeps from one frame that shows its class to the next


class CoreBoundary:
    """A term; `weight` multiplies its loss."""

    def __init__(self, given: Materials, *, weight: float = 0.1) -> None:
        head = given.frozen.head
        self._device = given.device
        self._generator = given.generator
        self._labelling = Labelling(given)
        self._weight = weight
        self._prototypes_KE = torch.zeros(head.num_classes, head.embed_channels, device=given.device)
        self._is_known_K = torch.zeros(head.num_classes, dtype=torch.bool, device=given.device)

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Mean over the pixels whose class has a prototype."""
        image_HWC, _ = crop_of_share(
            to_tensor(target.image_HWC), to_tensor(target.labels_HW), target.crop_share, generator=self._generator
        )
        x_B3HW = normalise(image_HWC[None].to(self._device))
        labels_BHW, is_core_BHW = self._read(self._labelling.teacher(student), x_B3HW)
        embedding_BEHW = student.head.embed(student.encoder(x_B3HW))
        return self._weight * prototype_loss(
            embedding_BEHW, labels_BHW, is_core_BHW, self._prototypes_KE, is_known_K=self._is_known_K
        )

    def _read(self, teacher: SegmentationModel, x_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's labels and which are of the core; prototypes move to what it sees there."""
        with torch.no_grad():
            embedding_2EHW = teacher.head.embed(teacher.encoder(torch.cat([x_B3HW, x_B3HW.flip(3)])))
            confidence_2HW, labels_2HW = teacher.head.classify(embedding_2EHW).softmax(dim=1).max(dim=1)
            is_core_BHW = core_pixels(confidence_2HW[:1], labels_2HW[:1], labels_2HW[1:].flip(2))
            for label in torch.unique(labels_2HW[:1][is_core_BHW]).tolist():
                self._move(label, embedding_2EHW[:1].permute(0, 2, 3, 1)[is_core_BHW & (labels_2HW[:1] == label)])
        return labels_2HW[:1], is_core_BHW

    def _move(self, label: int, embeddings_NE: Tensor) -> None:
        mean_E = embeddings_NE.mean(dim=0)
        old_E = self._prototypes_KE[label] if self._is_known_K[label] else mean_E
        self._prototypes_KE[label] = torch.lerp(mean_E, old_E, SMOOTHING)
        self._is_known_K[label] = True

    def state(self) -> State:
        """Prototypes, which of them are known, and the labelling's."""
        return {
            "prototypes": kept(self._prototypes_KE),
            "is_known": kept(self._is_known_K),
            "labelling": self._labelling.state(),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"prototypes": Tensor() as prototypes, "is_known": Tensor() as is_known, "labelling": dict(labelling)}:
                self._prototypes_KE = prototypes.to(self._device, copy=True)
                self._is_known_K = is_known.to(self._device, copy=True)
                self._labelling.load_state(labelling)
            case _:
                raise ValueError(f"not the state of core and boundary: it has the keys {sorted(state)}")
