"""Pseudo-labels of a model whose weights are averaged over steps, for terms that hold the student to a teacher.

    labelling = Labelling(given)
    labels_HW, share = labelling.served(student, target)      # whole frame: the answer that was served, where it may be
    teacher = labelling.teacher(student)                      # to be asked about any view, without a graph

Where the recipe averages what is served, that is the teacher and its answer to the frame is there already. Where the
student itself is served, as many methods are published, a mean teacher of its own is kept, and each use of it costs a
forward pass.
"""

# B batch, H height, W width (of images; a quarter of it for logits), K classes

import torch
from torch import Tensor

from models.preprocess import certainty, labels_of, normalise, to_tensor
from models.segformer import SegmentationModel
from runtime.adaptation.mean_teacher import MeanTeacher
from runtime.adaptation.method import Materials, Target
from runtime.state import State

CONFIDENT = 2  # column of `certainty`: share of pixels at least 0.968 sure


class Labelling:
    """Belongs to one term, which asks it once per step: its own teacher follows the student whenever it is asked."""

    def __init__(self, given: Materials) -> None:
        self._averaged = given.teacher
        self._device = given.device
        self._own = None if given.is_averaged else MeanTeacher(given.frozen)

    def served(self, student: SegmentationModel, target: Target) -> tuple[Tensor, float]:
        """The teacher's labels of the frame, uint8 (H, W), and the share of pixels it is confident of."""
        if self._own is None:
            return to_tensor(target.labels_HW), target.confident_share
        with torch.no_grad():
            logits_BKHW = self.teacher(student)(normalise(to_tensor(target.image_HWC)[None].to(self._device)))
        height, width = target.labels_HW.shape
        return labels_of(logits_BKHW, (height, width))[0].cpu(), float(certainty(logits_BKHW)[0, CONFIDENT])

    def teacher(self, student: SegmentationModel) -> SegmentationModel:
        """The model to ask; its own one has followed the student."""
        if self._own is None:
            return self._averaged
        self._own.follow(student)
        return self._own.model

    def state(self) -> State:
        """Of the teacher of its own, where there is one."""
        return {} if self._own is None else {"teacher": self._own.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"teacher": dict(teacher)} if self._own is not None:
                self._own.load_state(teacher)
            case _ if self._own is not None:
                raise ValueError(f"not the state of a labelling with a teacher of its own: it has {sorted(state)}")
