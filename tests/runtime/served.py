"""Models that are served, and a lane whose device is behind: small, on a host, and telling what they are asked for."""

from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.adapters import AdapterConfig, attach_adapters
from models.trainable import adaptable_tensors, set_trainable
from models.trainable import replica as replica_of
from models.zoo import build_model
from runtime.weights import VersionedWeights

CPU = torch.device("cpu")
NUM_CLASSES = 19


class Biased(nn.Module):
    """Class scores that are one adaptable bias, the same at every pixel; `before` is called ahead of every forward."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(NUM_CLASSES), requires_grad=False)
        self.adaptable_names = ("bias",)
        self._before = before

    def forward(self, x_B3HW: Tensor) -> Tensor:
        self._before()
        return self.bias[None, :, None, None].expand(x_B3HW.shape[0], -1, x_B3HW.shape[2], x_B3HW.shape[3])


class Place:
    """Passed when the test says so; notes who waits."""

    def __init__(self, log: list[str], on_wait: Callable[[], object]) -> None:
        self.is_passed = False
        self._log = log
        self._on_wait = on_wait

    def is_done(self) -> bool:
        return self.is_passed

    def wait(self) -> None:
        self._log.append("wait")
        self._on_wait()


class SlowLane:
    """A host's lane whose device is always behind, and which notes the order of what it is asked for."""

    device = CPU

    def __init__(self, *, on_wait: Callable[[], object] = lambda: None) -> None:
        self.log: list[str] = []
        self.places: list[Place] = []
        self._on_wait = on_wait

    @contextmanager
    def entered(self):
        self.log.append("enter")
        yield
        self.log.append("leave")

    def record(self) -> Place:
        self.log.append("record")
        self.places.append(Place(self.log, self._on_wait))
        return self.places[-1]

    def capture(self, work):
        self.log.append("capture")
        return work


def peak(number: int) -> dict[str, Tensor]:
    """Weights with which every pixel is of class `number`."""
    bias = torch.zeros(NUM_CLASSES)
    bias[number] = 9.0
    return {"bias": bias}


def learnt_adapters(kind, *, stages=(1, 2, 3, 4)):
    """A SegFormer with adapters and three versions: the source, and two with other adapters."""
    torch.manual_seed(0)
    config = AdapterConfig(kind, scale=1.0, stages=stages)
    model = attach_adapters(build_model("segformer_b0", num_classes=NUM_CLASSES), config)
    set_trainable(model.eval(), "adapters+head")
    weights = VersionedWeights(adaptable_tensors(model))
    versions = [weights.source]
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        source = weights.source.tensors
        moved = {name: t + 0.05 * torch.randn(t.shape, generator=generator) for name, t in source.items()}
        versions.append(weights.publish(moved, frame_index=seed))
    return replica_of(model), versions
