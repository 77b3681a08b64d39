"""A small student, a filled replay buffer and a target, shared by the tests of methods."""

import numpy as np
import torch
from torch import Tensor, nn

from models.adapters import AdapterConfig, attach_adapters
from models.segformer import SegmentationModel
from models.trainable import replica, set_trainable
from models.zoo import build_model
from replay.buffer import ReplayBuffer
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.recollection import Recollection
from runtime.adaptation.service import Service
from runtime.adaptation.stream_statistics import StreamStatistics
from runtime.guard import Guard
from runtime.trust import Trust
from runtime.weights import VersionedWeights

SIZE_HW = (32, 64)
NUM_CLASSES = 4


def make_student(trainable: str = "adapters+head", *, sureness: float = 1.0) -> SegmentationModel:
    """Random SegFormer-B0 of four classes; by default its head and last adapters learn.

    Its answers are guesses, of nearly the greatest entropy there is, unless the classifier is scaled by `sureness`.
    """
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=NUM_CLASSES)
    with torch.no_grad():
        model.head.classifier.weight.mul_(sureness)
    if "adapters" in trainable:
        attach_adapters(model, AdapterConfig(stages=(4,)))
    set_trainable(model, trainable)
    return model.eval()


def with_fixed_statistics(model: SegmentationModel) -> SegmentationModel:
    """The same model, whose batch norms keep the statistics they have."""
    model.adaptable_names = tuple(name for name in model.adaptable_names if ".running_" not in name)
    return model


def filled_replay(num: int = 4, *, only_class: int | None = None) -> ReplayBuffer:
    """Noisy pictures; the upper half is class 0, the lower class 1 + i mod 3, or all of it `only_class`."""
    rng = np.random.default_rng(0)
    replay = ReplayBuffer(
        SIZE_HW, capacity_bytes=2**20, generator=torch.Generator().manual_seed(0), num_classes=NUM_CLASSES
    )
    for index in range(num):
        label_HW = np.zeros(SIZE_HW, np.uint8)
        label_HW[16:] = 1 + index % 3
        if only_class is not None:
            label_HW[:] = only_class
        replay.add(rng.integers(60, 200, (*SIZE_HW, 3), dtype=np.uint8), label_HW)
    return replay


def materials(student: SegmentationModel, *, replay: ReplayBuffer | None = None, seed: int = 0) -> Materials:
    """What a method is built from: the frozen model and the teacher both answer as the student does now."""
    generator = torch.Generator().manual_seed(seed)
    return Materials(
        replay or filled_replay(), replica(student), replica(student), torch.device("cpu"), generator
    )


def make_target(*, confident_share: float = 0.5, image_HWC: np.ndarray | None = None) -> Target:
    """A dark noisy frame, taken for class 2 everywhere."""
    if image_HWC is None:
        image_HWC = np.random.default_rng(1).integers(0, 60, (*SIZE_HW, 3), dtype=np.uint8)
    return Target(7, image_HWC, np.full(SIZE_HW, 2, np.uint8), confident_share)


def candidate_of(
    student: nn.Module,
    weights: VersionedWeights,
    *,
    is_trusted: bool = True,
    max_drift: float = 0.5,
    recollection: Recollection | None = None,
    statistics: StreamStatistics | None = None,
) -> Candidate:
    """Judged by drift alone, and served from the start unless told otherwise."""
    trust = Trust(below=1.0) if is_trusted else Trust()
    guard = Guard(weights.source.tensors, max_drift=max_drift)
    service = Service(weights, statistics)
    return Candidate(
        replica(student), service, guard=guard, trust=trust, clock=lambda: 1.0, recollection=recollection
    )


class Listening(nn.Module):
    """Answers every image with learnt class scores, the same at every pixel, and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.scores_K = nn.Parameter(torch.zeros(NUM_CLASSES))
        self.seen_B3HW = torch.empty(0)
        self.adaptable_names: tuple[str, ...] = ()

    def forward(self, x_B3HW: Tensor) -> Tensor:
        self.seen_B3HW = x_B3HW
        batch, _, height, width = x_B3HW.shape
        return self.scores_K[None, :, None, None].expand(batch, NUM_CLASSES, height // 4, width // 4)


class Picture(nn.Module):
    """Logits in the first stage of an encoder."""

    def __init__(self, logits_1KHW: Tensor) -> None:
        super().__init__()
        self.logits_1KHW = nn.Parameter(logits_1KHW)

    def stage_of(self, _: str) -> int:
        return 0


class Painted(nn.Module):
    """Answers every image with its own learnt logits, one for each pixel."""

    def __init__(self, logits_1KHW: Tensor) -> None:
        super().__init__()
        self.encoder = Picture(logits_1KHW)
        self.num_classes = logits_1KHW.shape[1]
        self.adaptable_names: tuple[str, ...] = ()

    @property
    def logits_1KHW(self) -> nn.Parameter:
        return self.encoder.logits_1KHW

    def forward(self, _: Tensor) -> Tensor:
        return self.logits_1KHW * 1.0


def nth_target(number: int) -> Target:
    """One noisy frame after the other, each of its own brightness."""
    rng = np.random.default_rng(number)
    return make_target(image_HWC=rng.integers(0, 60 + 40 * (number % 5), (*SIZE_HW, 3), dtype=np.uint8))
