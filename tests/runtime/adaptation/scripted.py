"""Methods whose losses are functions of the student, and a learner of them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.trainable import adaptable_tensors, trainable_parameters
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Method, Target
from runtime.adaptation.recollection import Recollection
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of

TARGET = Target(3, np.zeros((32, 64, 3), np.uint8), np.zeros((32, 64), np.uint8), 0.5)


class Scripted(Method):
    """A method whose losses are functions of the student, one per call."""

    def __init__(self, *losses: Callable[[nn.Module], Tensor | None]) -> None:
        self.losses = list(losses)

    def loss(self, student: nn.Module, target: Target) -> Tensor | None:
        assert target is TARGET
        return self.losses.pop(0)(student)


def good(student: nn.Module) -> Tensor:
    return sum((p.sum() for p in trainable_parameters(student)), torch.zeros(()))


def nan(student: nn.Module) -> Tensor:
    return good(student) * float("nan")


def broken(_: nn.Module) -> Tensor:
    raise RuntimeError("the method fell over")


def exploding_gradient(student: nn.Module) -> Tensor:
    return (good(student) * 0.0).sqrt()  # finite value, gradient 0 * inf = nan


def hungry(_: nn.Module) -> Tensor:
    return torch.empty(1 << 50)  # a pebibyte: the host's allocator says no


def starved(_: nn.Module) -> Tensor:
    raise MemoryError


def starved_on_device(_: nn.Module) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


def learner_of(
    student: nn.Module,
    *losses: Callable[[nn.Module], Tensor],
    is_trusted: bool = True,
    recollection: Recollection | None = None,
) -> tuple[Learner, VersionedWeights]:
    weights = VersionedWeights(adaptable_tensors(student))
    learner = Learner(
        student,
        Scripted(*losses),
        candidate_of(student, weights, is_trusted=is_trusted, recollection=recollection),
        Descent(torch.optim.AdamW(trainable_parameters(student), lr=1e-3, weight_decay=0.0)),
        ema_decay=0.9,
        clock=lambda: 1.0,
    )
    return learner, weights
