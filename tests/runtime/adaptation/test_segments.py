"""Segments: the same numbers, in pieces with a boundary before each."""

import math
import threading

import pytest
import torch

from models.trainable import adaptable_tensors, trainable_parameters
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.methods import METHODS
from runtime.adaptation.segments import Segments
from runtime.slack import SlackGate
from runtime.weights import VersionedWeights
from tests.fakes import ManualClock
from tests.runtime.adaptation.samples import candidate_of, make_student, make_target, materials
from tests.runtime.test_slack import finished, started, until_somebody_waits

OF_NORMS = ("bn", "tent", "eata", "sar")  # which need batch statistics that move, and pixels that are sure


def make_learner(method: str = "styled") -> tuple[Learner, VersionedWeights]:
    student = make_student("norm", sureness=50.0) if method in OF_NORMS else make_student()
    build = METHODS[method].build
    assert build is not None
    weights = VersionedWeights(adaptable_tensors(student))
    learner = Learner(
        student,
        build(materials(student)),
        candidate_of(student, weights, max_drift=math.inf),
        Descent(torch.optim.AdamW(trainable_parameters(student), lr=1e-3)),
        ema_decay=0.9,
        clock=ManualClock(),
    )
    return learner, weights


PACED = {"hamlet", "hamlet_released"}  # rest until they have seen a change


@pytest.mark.parametrize(
    "method", [name for name, entry in METHODS.items() if entry.build is not None and name not in PACED]
)
def test_learning_in_segments_gives_the_same_bits(method) -> None:
    (whole, whole_weights), (cut, cut_weights) = make_learner(method), make_learner(method)
    num_boundaries = []
    for _ in range(3):
        whole_step, _ = whole.learn(make_target())
        with Segments(lambda: num_boundaries.append(1)):
            cut_step, _ = cut.learn(make_target())
        assert (whole_step.outcome, whole_step.loss) == (cut_step.outcome, cut_step.loss) == ("applied", cut_step.loss)
    for name, tensor in whole_weights.latest.tensors.items():
        assert torch.equal(tensor, cut_weights.latest.tensors[name]), name
    assert len(num_boundaries) > 3 * 100


def test_a_boundary_lies_before_every_operation_and_every_node_of_the_backward_pass() -> None:
    weight = torch.ones(3, requires_grad=True)
    log: list[str] = []
    with Segments(lambda: log.append("boundary")):
        product = weight * 2
        log.append("forward")
        product.register_hook(lambda _: log.append("gradient"))
        total = product.sum()
        log.clear()
        torch.autograd.backward(total)
    # backward itself, sum, multiplication, accumulation into the weight; the gradient comes between the last two nodes
    assert log.count("boundary") == 4 and weight.grad is not None and weight.grad.tolist() == [2.0] * 3
    assert log.index("gradient") in (2, 3)


def test_gradients_asked_for_by_themselves_are_cut_as_well() -> None:
    weight = torch.ones(3, requires_grad=True)
    num_boundaries: list[int] = []
    total = (weight * 2).sum()
    with Segments(lambda: num_boundaries.append(1)):
        (gradient,) = torch.autograd.grad(total, [weight])
    assert len(num_boundaries) == 3 and gradient.tolist() == [2.0] * 3  # the call, sum, multiplication


def test_other_threads_and_later_work_are_left_alone() -> None:
    num_boundaries = 0

    def boundary() -> None:
        nonlocal num_boundaries
        num_boundaries += 1

    with Segments(boundary):
        assert finished(started(lambda: torch.zeros(3) + 1))
    torch.ones(3) + 1
    assert num_boundaries == 0


def test_a_step_stops_midway_while_inference_is_busy_and_ends_after_it() -> None:
    learner, weights = make_learner()
    gate = SlackGate(patience_s=math.inf)
    is_learning = threading.Event()

    def learn() -> None:
        with Segments(gate.wait):
            is_learning.set()
            learner.learn(make_target())

    with gate.busy():
        thread = started(learn)
        assert is_learning.wait(60)
        until_somebody_waits(gate)
        assert weights.latest.number == 0
    assert finished(thread) and weights.latest.number == 1
