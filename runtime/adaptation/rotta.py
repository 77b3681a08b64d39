"""RoTTA: a student learns from a balanced memory of what was seen lately, on batch statistics that follow slowly.

Yuan, Xie and Li, CVPR 2023 (arXiv 2303.13899), in the authors' settings: affine parameters of norms, Adam at 1e-3,
teacher decay 0.999, statistics that take 5 % of each batch's, memory of 64, soft labels of the teacher weighed by age,
the student shown a second view. Teacher and student have statistics of their own, those of the teacher serve; of the
weights the teacher has the average.

Carried over from images to frames: a sample is a pixel and the crop around it, half of each side. Its category is the
class predicted there, and its uncertainty the mean entropy of the crop; pixels are drawn evenly, so that samples arrive
as common as their classes are, and balancing is the memory's work, as published. A frame gives four samples, its own
area. The authors take one step on the whole memory for every 64 samples, `frames_per_step=16, crops_per_step=64` here;
that is a burst of sixteen frames' area, and twenty steps on a stream of three hundred frames. By default each frame is
one step on four crops of the memory: the same samples learnt from for every sample seen. Rate, decay and share of
statistics stay the published ones for a step; per sample seen they act sixteen times as often, as a crop is thousands
of labelled pixels where theirs is one image with one label.
"""

# B batch, H height, W width (of images), h w (of logits), C channels (RGB), K classes

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import soft_cross_entropies
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors
from replay.augment import share_of
from replay.category_memory import CategoryMemory
from replay.second_view import Warp, random_warp, recoloured, roughened
from runtime.adaptation.method import Materials, Method, Target
from runtime.adaptation.robust_norm import NormStatistics, answer
from runtime.state import State, kept

CROP_SHARE = 0.5
CROPS_PER_FRAME = 4  # a frame's area
MEAN, VAR = "head.bn.running_mean", "head.bn.running_var"


class RottaSelfTraining(Method):
    """Source-free. Owns the memory, the student's statistics and, until a step is settled, the teacher's next ones.

    `statistics_share` is the paper's alpha. In trainable modes that freeze statistics they stay the source's.
    """

    def __init__(
        self,
        given: Materials,
        *,
        capacity: int = 64,
        frames_per_step: int = 1,
        crops_per_step: int = CROPS_PER_FRAME,
        statistics_share: float = 0.05,
    ) -> None:
        self._given = given
        self._frames_per_step = frames_per_step
        self._crops_per_step = crops_per_step
        self._crop_HW = share_of(given.replay.size_HW, CROP_SHARE)
        self._memory = CategoryMemory(self._crop_HW, capacity=capacity, num_categories=given.frozen.num_classes)
        self._share = statistics_share if MEAN in given.frozen.adaptable_names else 0.0
        self._students = NormStatistics.of(given.frozen.head).detached()
        self._teachers = self._students
        self._num_frames = 0

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """Remembers crops of the frame. Where a step is due, the student's cross-entropy to the teacher on crops of the
        memory, weighed by 1 / (1 + exp(age)); None where none is.
        """
        self._remember(to_tensor(target.image_HWC))
        self._num_frames += 1
        if self._num_frames % self._frames_per_step:
            return None
        images_BHWC, ages_B = self._memory.draw(self._crops_per_step, self._given.generator)
        images_BHWC = images_BHWC.to(self._given.device)
        warp = random_warp(self._given.generator)
        expected_BKhw = warp.apply(self._teachers_answer(normalise(images_BHWC)))
        logits_BKhw = self._students_answer(student, self._second_view(images_BHWC, warp))
        losses_B = soft_cross_entropies(logits_BKhw, expected_BKhw).mean(dim=(1, 2))
        return (losses_B * timeliness(ages_B).to(losses_B)).mean()

    def settle(self, student: SegmentationModel) -> None:
        """What is served is on the teacher's statistics."""
        if self._share:
            live = adaptable_tensors(student)
            live[MEAN].copy_(self._teachers.mean_E)
            live[VAR].copy_(self._teachers.var_E)

    def state(self) -> State:
        """Memory, student's statistics, and the place between two steps."""
        return {
            "memory": self._memory.state(),
            "mean": kept(self._students.mean_E),
            "var": kept(self._students.var_E),
            "num_frames": self._num_frames,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"memory": dict(memory), "mean": Tensor() as mean_E, "var": Tensor() as var_E, "num_frames": int(num)}:
                self._memory.load_state(memory)
                self._students = NormStatistics(mean_E.to(self._given.device), var_E.to(self._given.device))
                self._num_frames = num
            case _:
                raise ValueError(f"not the state of RoTTA: it has the keys {sorted(state)}")

    def _remember(self, image_HWC: Tensor) -> None:
        """Offer the memory the crops around evenly drawn pixels, as the teacher sees them now."""
        with torch.no_grad():
            x_B3HW = normalise(image_HWC[None].to(self._given.device))
            log_p_Khw = F.log_softmax(self._given.teacher(x_B3HW)[0], dim=0).cpu()
        labels_hw, entropies_hw = log_p_Khw.argmax(dim=0), -(log_p_Khw.exp() * log_p_Khw).sum(dim=0)
        drawn = torch.randint(labels_hw.numel(), (CROPS_PER_FRAME,), generator=self._given.generator)
        for place in drawn.tolist():
            row, column = divmod(place, labels_hw.shape[1])
            rows = _around(row, labels_hw.shape[0], image_HWC.shape[0], self._crop_HW[0])
            columns = _around(column, labels_hw.shape[1], image_HWC.shape[1], self._crop_HW[1])
            seen_hw = entropies_hw[_shrunk(rows, 4), _shrunk(columns, 4)]
            self._memory.add(
                image_HWC[rows, columns], category=int(labels_hw[row, column]), entropy=float(seen_hw.mean())
            )

    def _second_view(self, images_BHWC: Tensor, warp: Warp) -> Tensor:
        """Network input (B, 3, H, W)."""
        view_BHWC = roughened(recoloured(images_BHWC, self._given.generator), self._given.generator)
        view_BCHW = warp.apply(view_BHWC.permute(0, 3, 1, 2))
        return normalise(view_BCHW.permute(0, 2, 3, 1).mul(255.0))

    def _teachers_answer(self, x_B3HW: Tensor) -> Tensor:
        """Probabilities on its statistics moved by this batch, which `settle` will serve."""
        teacher = self._given.teacher
        with torch.no_grad():
            features = teacher.encoder(x_B3HW)
            moved = NormStatistics.of(teacher.head).towards(teacher.head, features, share=self._share)
            self._teachers = moved
            return answer(teacher.head, features, moved).softmax(dim=1)

    def _students_answer(self, student: SegmentationModel, x_B3HW: Tensor) -> Tensor:
        """Logits on its statistics moved by this batch, which are kept."""
        features = student.encoder(x_B3HW)
        moved = self._students.towards(student.head, features, share=self._share)
        self._students = moved.detached()
        return answer(student.head, features, moved)


def timeliness(ages_B: Tensor) -> Tensor:
    """exp(-age) / (1 + exp(-age)), ages in capacities of the memory (RoTTA, "timeliness reweighting")."""
    return torch.sigmoid(-ages_B)


def _around(place: int, num_places: int, side: int, crop: int) -> slice:
    """Pixels of a crop about the centre of a logit's place, moved inwards where it would stand out of the image."""
    centre = (place + 0.5) * side / num_places
    first = min(max(0, round(centre - crop / 2)), side - crop)
    return slice(first, first + crop)


def _shrunk(pixels: slice, stride: int) -> slice:
    return slice(pixels.start // stride, -(-pixels.stop // stride))
