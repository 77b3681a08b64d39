"""A mean teacher of a method's own: a model whose weights follow the student's, for methods that serve the student.

    teacher = MeanTeacher(given.frozen)
    teacher.follow(student)                     # once per learning step, before it
    logits_BKHW = teacher.answer(x_B3HW)

Tarvainen and Valpola 2017, arXiv 1703.01780, eq. 2, with the start of DACS and DAFormer (Tranheden et al. 2021; Hoyer
et al. 2022): step t moves the average to a_t average + (1 - a_t) student, a_t = min(1 - 1 / (t + 1), 0.999). So it
begins as the student and is the plain mean of all students up to the thousandth step. Running statistics are averaged
like weights (HAMLET's code leaves them at the source's, OnDA's copies the student's). Where the recipe averages what is
served, `Materials.teacher` is there already and costs nothing; this one is for where it does not.
"""

# B batch, H height, W width (of images; a quarter of it for logits), K classes

from typing import cast

import torch
from torch import Tensor, nn

from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica
from runtime.state import State, kept

DECAY = 0.999  # DAFormer, HRDA, MIC and HAMLET; 0.99 in the original DACS


class MeanTeacher:
    """Owned by its method; shares the frozen tensors with `model`, which it is a replica of.

    Without `is_ramped` it begins as `model` and its share of every step is `decay`, as in OnDA. Batch norms answer with
    their averaged running statistics. HAMLET's and OnDA's code leave a teacher's batch norms in training mode:
    `uses_batch_statistics` does so too, by the statistics of what is asked alone.
    """

    def __init__(
        self,
        model: SegmentationModel,
        *,
        decay: float = DECAY,
        is_ramped: bool = True,
        uses_batch_statistics: bool = False,
    ) -> None:
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"teacher.decay must be in [0, 1), got {decay}; 0 is the student itself")
        self._model = replica(model).eval().requires_grad_(False)
        self._average = adaptable_tensors(self._model)
        self._decay = decay
        self._is_ramped = is_ramped
        self._num_steps = 0
        if uses_batch_statistics:
            for module in self._model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.track_running_stats = False  # they may be shared with other models: never move them
                    module.training = True

    @property
    def model(self) -> SegmentationModel:
        """Answers with the average as it is at that moment."""
        return self._model

    def follow(self, student: SegmentationModel) -> None:
        """Move the average towards the student's weights; where it is ramped, onto them the first time."""
        ramp = 1.0 - 1.0 / (self._num_steps + 1) if self._is_ramped else 1.0
        share = 1.0 - min(ramp, self._decay)
        self._num_steps += 1
        trained = adaptable_tensors(student)
        with torch.no_grad():
            for name, average in self._average.items():
                average.lerp_(trained[name], share)

    def answer(self, x_B3HW: Tensor) -> Tensor:
        """Logits (B, K, H, W), without a graph."""
        with torch.no_grad():
            logits_BKHW: Tensor = self._model(x_B3HW)
            return logits_BKHW

    def state(self) -> State:
        """A copy of the average, and how many students are in it."""
        average: State = {name: kept(tensor) for name, tensor in self._average.items()}
        return {"num_steps": self._num_steps, "average": average}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"num_steps": int(num_steps), "average": dict(average)} if average.keys() == self._average.keys():
                self._num_steps = num_steps
                with torch.no_grad():
                    for name, tensor in self._average.items():
                        tensor.copy_(cast(Tensor, average[name]))
            case _:
                raise ValueError(f"not the state of this mean teacher: it has the keys {sorted(state)}")
