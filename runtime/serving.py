"""A model that answers frames, one version after the other. One thread calls it; frames and threads are unknown here.

    replica = serve(model, lane)           # the model is the replica's from now on
    replica.apply(version)                 # between two answers
    answer = replica.answer(image_HWC)

On a host a version is applied by reference: the model uses the version's own tensors and nothing is copied. On a GPU
the model's tensors keep their addresses, so that one captured CUDA graph serves every version, and a version is copied
into them in the lane of inference: the kernels of a frame come wholly before or wholly after that copy.

The model that serves has a version's adapters folded into its weights, where their kind allows it: LoRA and SSF cost
nothing per frame.
"""

# H height, W width (h w of the logits), C channels

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.folding import fold, foldable_layers
from models.precision import answering
from models.preprocess import confidence_and_certainty, labels_of, normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, load_adaptable
from runtime.lanes import Lane, Recorded
from runtime.weights import Version

NUM_WARM_UPS = 3  # libraries pick kernels and allocate workspaces, which a capture cannot hold
NUDGE, NUDGE_BESIDE = 10.0, 0.1  # added to weights; what does not show then does not matter
NOTICEABLE = 1e-3  # in any pixel's confidence, or mean entropy (nats): far above rounding, far below what a layer does


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """In host memory: labels at the image's size (uint8); at the logits' size top-1 probabilities (float32), and their
    mean, the mean entropy, the share of confident pixels.
    """

    labels_HW: np.ndarray
    confidence_hw: np.ndarray
    confidence: float
    entropy_nats: float
    confident_share: float


class Replica(Protocol):
    def apply(self, version: Version) -> None: ...

    def answer(self, image_HWC: np.ndarray) -> Answer: ...


def serve(model: SegmentationModel, lane: Lane, *, on_fault: Callable[[str], None]) -> Replica:
    """The replica that suits the lane's device; `on_fault` is told where a GPU does without its graph."""
    if lane.device.type == "cuda":
        return CopiedReplica(model, lane, on_fault=on_fault)
    return SwappedReplica(model, lane.device, is_folded=True)


class SwappedReplica:
    """Computes in the caller's lane, on the version's own tensors; `is_folded` for the one model that serves."""

    def __init__(self, model: SegmentationModel, device: torch.device, *, is_folded: bool = False) -> None:
        self._model = model
        self._device = device
        self._folded = foldable_layers(model) if is_folded else []

    def apply(self, version: Version) -> None:
        load_adaptable(self._model, version.tensors)
        fold(self._folded)

    def answer(self, image_HWC: np.ndarray) -> Answer:
        with torch.no_grad():
            labels_HW, confidence_hw, certainty_3 = compute(self._model, to_tensor(image_HWC).to(self._device))
        return Answer(labels_HW.cpu().numpy(), confidence_hw.cpu().numpy(), *certainty_3.tolist())


class CopiedReplica:
    """Computes in its lane, on tensors of its own; all sizes but the latest are forgotten."""

    def __init__(self, model: SegmentationModel, lane: Lane, *, on_fault: Callable[[str], None]) -> None:
        self._model = model
        self._lane = lane
        self._on_fault = on_fault
        self._live = adaptable_tensors(model)
        self._folded = foldable_layers(model)
        self._held: list[tuple[Version, Recorded]] = []
        self._forward: StaticForward | None = None
        lane.record().wait()  # the caller's lane may still be filling the model

    def apply(self, version: Version) -> None:
        """Held until its copy is done: let go earlier, its memory would return to the learner's lane, which may write
        there while ours still reads.
        """
        with self._lane.entered(), torch.no_grad():
            torch._foreach_copy_(list(self._live.values()), [version.tensors[name] for name in self._live])
            fold(self._folded)
            applied = self._lane.record()
        self._held = [(held, copied) for held, copied in self._held if not copied.is_done()]
        self._held.append((version, applied))

    def answer(self, image_HWC: np.ndarray) -> Answer:
        size_HW = (image_HWC.shape[0], image_HWC.shape[1])
        if self._forward is None or self._forward.size_HW != size_HW:
            self._forward = self._prepared(image_HWC, size_HW)
        return self._forward.answer(image_HWC)

    def _prepared(self, image_HWC: np.ndarray, size_HW: tuple[int, int]) -> "StaticForward":
        """Captured, and the capture checked; else plain, and said so."""
        forward = StaticForward(self._model, size_HW, self._lane)
        plain = forward.answer(image_HWC)
        try:
            forward.capture()
            if self._follows_weights(forward, image_HWC, plain):
                return forward
            reason = "it does not follow the weights"
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
        self._on_fault(f"inference runs without its CUDA graph: {reason}")
        return StaticForward(self._model, size_HW, self._lane)

    def _follows_weights(self, forward: "StaticForward", image_HWC: np.ndarray, plain: Answer) -> bool:
        """A graph may hold what was folded from some weights at capture: whichever tensor is nudged, it must answer as
        a plain pass does then, and otherwise than before for some.
        """
        if _differ(forward.answer(image_HWC), plain):
            return False
        beside, has_moved = StaticForward(self._model, forward.size_HW, self._lane), False
        for name in self._live:
            with self._nudged(name):
                expected, answer = beside.answer(image_HWC), forward.answer(image_HWC)
            if _differ(answer, expected):
                return False
            has_moved = has_moved or _differ(expected, plain)
        return has_moved

    @contextmanager
    def _nudged(self, name: str) -> Iterator[None]:
        """A tensor, and by far less the others of its module: one that is zero would hide it."""
        module = name.rsplit(".", 2)[0]
        tensors = {other: tensor for other, tensor in self._live.items() if other.rsplit(".", 2)[0] == module}
        with self._lane.entered(), torch.no_grad():
            kept = [tensor.clone() for tensor in tensors.values()]
            for other, tensor in tensors.items():  # not the same everywhere: softmax is blind to a common offset
                most = NUDGE if other == name else NUDGE_BESIDE
                ramp = torch.linspace(0, most, tensor.numel(), device=tensor.device, dtype=tensor.dtype)
                tensor.add_(ramp.view_as(tensor))
            fold(self._folded)
            try:
                yield
            finally:
                torch._foreach_copy_(list(tensors.values()), kept)
                fold(self._folded)


class StaticForward:
    """One forward pass at one size, from and to memory that stays where it is; plain until `capture`."""

    def __init__(self, model: nn.Module, size_HW: tuple[int, int], lane: Lane) -> None:
        self.size_HW = size_HW
        self._model = model
        self._lane = lane
        self._is_pinned = is_pinned = lane.device.type == "cuda"  # only then copies leave the thread alone
        self._sent_HWC = torch.zeros((*size_HW, 3), dtype=torch.uint8, pin_memory=is_pinned)
        self._labels_back_HW = torch.zeros(size_HW, dtype=torch.uint8, pin_memory=is_pinned)
        self._confidence_back_hw = torch.zeros(0, 0)
        self._certainty_back_3 = torch.zeros(3, pin_memory=is_pinned)
        with lane.entered():
            self._image_HWC = torch.zeros_like(self._sent_HWC, device=lane.device)
            self._labels_HW = torch.zeros_like(self._labels_back_HW, device=lane.device)
            self._confidence_hw = torch.zeros(0, 0, device=lane.device)
            self._certainty_3 = torch.zeros_like(self._certainty_back_3, device=lane.device)
        self._run = self._compute

    def answer(self, image_HWC: np.ndarray) -> Answer:
        """The calling thread alone waits for the result; its buffers are free again when it has it."""
        self._sent_HWC.copy_(to_tensor(image_HWC))
        with self._lane.entered(), torch.no_grad():
            self._image_HWC.copy_(self._sent_HWC, non_blocking=True)
            self._run()
            self._labels_back_HW.copy_(self._labels_HW, non_blocking=True)
            self._confidence_back_hw.copy_(self._confidence_hw, non_blocking=True)
            self._certainty_back_3.copy_(self._certainty_3, non_blocking=True)
            self._lane.record().wait()
        labels_HW, confidence_hw = self._labels_back_HW.numpy().copy(), self._confidence_back_hw.numpy().copy()
        return Answer(labels_HW, confidence_hw, *self._certainty_back_3.tolist())

    def capture(self) -> None:
        """RuntimeError where the lane cannot; this object is of no use after that."""
        with self._lane.entered(), torch.no_grad():
            for _ in range(NUM_WARM_UPS):
                self._compute()
            self._lane.record().wait()
            self._run = self._lane.capture(self._compute)

    def _compute(self) -> None:
        labels_HW, confidence_hw, certainty_3 = compute(self._model, self._image_HWC)
        if self._confidence_hw.shape != confidence_hw.shape:  # the first pass of all tells how large logits are
            self._confidence_hw = torch.zeros_like(confidence_hw)
            self._confidence_back_hw = torch.zeros(confidence_hw.shape, pin_memory=self._is_pinned)
        self._labels_HW.copy_(labels_HW)
        self._confidence_hw.copy_(confidence_hw)
        self._certainty_3.copy_(certainty_3)


def compute(model: nn.Module, image_HWC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (H, W), confidence (h, w) and certainty (3,) of one uint8 image on its device; nothing waits for the
    device in here.
    """
    with answering(model, image_HWC.device):
        logits_BKHW: Tensor = model(normalise(image_HWC[None])).float()
    size_HW = (image_HWC.shape[0], image_HWC.shape[1])
    confidence_Bhw, certainty_B3 = confidence_and_certainty(logits_BKHW)
    return labels_of(logits_BKHW, size_HW)[0], confidence_Bhw[0], certainty_B3[0]


def _differ(one: Answer, other: Answer) -> bool:
    confidence = np.abs(one.confidence_hw - other.confidence_hw).max()
    entropy = abs(one.entropy_nats - other.entropy_nats)
    return not (confidence <= NOTICEABLE and entropy <= NOTICEABLE)  # nan differs from everything
