"""DACS online: self-training on mixtures of a labelled source sample with the frame just seen, all weights learning.

Tranheden et al. 2021, arXiv 2007.08702, with the settings of DAFormer (Hoyer et al. 2022, arXiv 2111.14887, section
4.1) for SegFormer encoders: AdamW at 6e-5, ten times that for the head, no decay of norms, mean teacher of 0.999, rare
classes first, half of the source's classes pasted. Online there is no end to anneal towards and no 1500 steps to warm
up in: the rate is constant, as HAMLET runs its DACS baseline. The student is served, as published; the teacher only
labels. With `--trainable adapters+head` the same loss trains adapters and head alone.
"""

from torch import Tensor

from models.segformer import SegmentationModel
from runtime.adaptation.mean_teacher import MeanTeacher
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.self_training import MixRule, SelfTraining
from runtime.state import State

PUBLISHED = MixRule()


class DacsSelfTraining(Method):
    """Cross-entropy on the source plus, weighted by the teacher's confidence, on the mixture."""

    def __init__(self, given: Materials, *, rule: MixRule = PUBLISHED) -> None:
        self._teacher = MeanTeacher(given.frozen)
        self._training = SelfTraining(given, self._teacher, rule=rule)

    def loss(self, student: SegmentationModel, target: Target) -> Tensor:
        """Of one frame; three forward passes of its crop, two of them with gradients."""
        return self._training.losses(student, target).total

    def state(self) -> State:
        return {"teacher": self._teacher.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"teacher": dict(teacher)}:
                self._teacher.load_state(teacher)
            case _:
                raise ValueError(f"not the state of DACS: it has the keys {sorted(state)}")
