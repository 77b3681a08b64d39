"""The learner publishes averages, rolls back what failed, and finds its way home."""

import math
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.adapters import AdapterConfig, attach_adapters
from models.trainable import (
    MODES,
    adaptable_tensors,
    frozen_digest,
    outermost_parameters,
    set_trainable,
    trainable_parameters,
)
from models.zoo import build_model
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import MAX_REFUSED, RELAX_STEPS, Learner
from runtime.adaptation.method import Method, Target
from runtime.adaptation.recollection import CONFIRM_FRAMES, Recollection
from runtime.adaptation.styled import StyledReplay
from runtime.library import DomainLibrary
from runtime.weights import VersionedWeights
from tests.fakes import make_source
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target

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


@pytest.fixture
def student() -> nn.Module:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=4)
    attach_adapters(model, AdapterConfig(stages=(4,)))
    set_trainable(model, "adapters+head")
    return model.eval()


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


def test_a_good_step_publishes_the_average(student: nn.Module) -> None:
    learner, weights = learner_of(student, good)
    step, rollback = learner.learn(TARGET)
    assert (step.outcome, step.version, step.frame_index, rollback) == ("applied", 1, 3, None)
    source, published = weights.source.tensors["head.classifier.bias"], weights.latest.tensors["head.classifier.bias"]
    # AdamW's first step moves every weight by lr against a uniform gradient; the average takes a tenth of it.
    assert torch.allclose(published, source - 0.1 * 1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (nan, "nonfinite"),
        (exploding_gradient, "nonfinite"),
        (broken, "error"),
        (hungry, "oom"),
        (starved, "oom"),
        (starved_on_device, "oom"),
    ],
)
def test_a_failed_step_is_undone_and_told(
    student: nn.Module, failure: Callable[[nn.Module], Tensor], outcome: str
) -> None:
    learner, weights = learner_of(student, good, failure, good)
    learner.learn(TARGET)
    before = {name: tensor.clone() for name, tensor in weights.latest.tensors.items()}
    step, rollback = learner.learn(TARGET)
    assert step.outcome == outcome and step.version == 1 and step.detail
    assert rollback is not None and rollback.version == 1
    assert all(torch.equal(weights.latest.tensors[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in adaptable_tensors(student).items())
    assert learner.learn(TARGET)[0].outcome == "applied"


def test_a_step_too_far_is_refused(student: nn.Module) -> None:
    weights = VersionedWeights(adaptable_tensors(student))
    learner = Learner(
        student,
        Scripted(good),
        candidate_of(student, weights, max_drift=1e-6),
        Descent(torch.optim.AdamW(trainable_parameters(student), lr=1e-2)),
        ema_decay=0.0,
        clock=lambda: 0.0,
    )
    step, rollback = learner.learn(TARGET)
    assert step.outcome == "refused_guard" and rollback is not None
    assert weights.latest.number == 0


def test_relaxing_ends_at_the_source_weights_exactly(student: nn.Module) -> None:
    learner, weights = learner_of(student, good, good)
    learner.learn(TARGET)
    assert not learner.is_at_source
    outcomes = [learner.relax(10 + index).outcome for index in range(RELAX_STEPS)]
    assert set(outcomes) == {"relaxed"} and learner.is_at_source
    assert all(torch.equal(weights.latest.tensors[name], t) for name, t in weights.source.tensors.items())
    learner.learn(TARGET)
    assert not learner.is_at_source


def test_a_learner_that_is_not_trusted_learns_in_the_shadow(student: nn.Module) -> None:
    learner, weights = learner_of(student, good, good, is_trusted=False)
    outcomes = [learner.learn(TARGET)[0].outcome for _ in range(2)]
    assert outcomes == ["shadowed", "shadowed"] and weights.latest.number == 0
    assert not learner.is_at_source


def test_failing_again_and_again_starts_over_from_the_source(student: nn.Module) -> None:
    learner, weights = learner_of(student, good, *[nan] * MAX_REFUSED, good)
    learner.learn(TARGET)
    versions = [learner.learn(TARGET)[1].version for _ in range(MAX_REFUSED)]
    assert versions == [1] * (MAX_REFUSED - 1) + [0] and learner.is_at_source
    assert all(torch.equal(tensor, weights.source.tensors[n]) for n, tensor in adaptable_tensors(student).items())
    step, _ = learner.learn(TARGET)
    assert (step.outcome, step.version) == ("applied", 2)


def test_only_the_adaptable_part_moves(student: nn.Module) -> None:
    before = frozen_digest(student)
    learner, _ = learner_of(student, good, good, nan)
    for _ in range(3):
        learner.learn(TARGET)
    learner.relax(9)
    assert frozen_digest(student) == before


def test_a_step_out_of_memory_lets_its_tensors_go(student: nn.Module) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def large_then_hungry(model: nn.Module) -> Tensor:
        kept = good(model) * torch.ones(1000)
        alive.append(weakref.ref(kept))
        return kept.sum() + hungry(model)

    learner, _ = learner_of(student, large_then_hungry)
    assert learner.learn(TARGET)[0].outcome == "oom"
    assert alive[0]() is None
    assert all(parameter.grad is None for parameter in trainable_parameters(student))


def test_rest_of_the_model_is_as_if_a_shallow_step_had_never_been() -> None:
    """Its gradient here is the same whatever it is, so values, moments and weight decay must be those of two steps."""
    values = []
    for depths in (("all", "head", "all"), ("all", "all")):
        torch.manual_seed(0)
        model = make_student()
        learner, _ = learner_of(model, *[good] * len(depths))
        outcomes = [learner.learn(TARGET, depth=depth)[0].outcome for depth in depths]
        assert set(outcomes) == {"applied"}
        outermost = {id(parameter) for parameter in outermost_parameters(model)}
        values.append([p.detach() for p in trainable_parameters(model) if id(p) not in outermost])
    assert len(values[0]) > 0
    assert all(torch.equal(mixed, plain) for mixed, plain in zip(*values, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_shallow_steps_move_the_outermost_part_alone(mode: str) -> None:
    torch.manual_seed(0)
    model = attach_adapters(build_model("segformer_b0", num_classes=4), AdapterConfig(stages=(3, 4))).eval()
    set_trainable(model, mode)
    weights = VersionedWeights(adaptable_tensors(model))
    learner = Learner(
        model,
        StyledReplay(filled_replay(), device=torch.device("cpu"), generator=torch.Generator().manual_seed(0)),
        candidate_of(model, weights),
        Descent(torch.optim.AdamW(trainable_parameters(model), lr=1e-4, weight_decay=0.1)),
        ema_decay=0.5,
        clock=lambda: 0.0,
    )
    digest = frozen_digest(model)
    outermost = {id(parameter) for parameter in outermost_parameters(model)}
    for depth in ("all", "head", "all", "head", "head"):
        before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        step, _ = learner.learn(make_target(), depth=depth)
        assert step.outcome == "applied"
        moved = {name for name, p in model.named_parameters() if p.requires_grad and not torch.equal(p, before[name])}
        shallow = {name for name, p in model.named_parameters() if id(p) in outermost}
        assert moved & shallow
        assert bool(moved - shallow) == (depth == "all" and mode != "head")
    assert frozen_digest(model) == digest


def test_a_returning_domain_is_learnt_on_from_where_it_was_left(student: nn.Module) -> None:
    library = DomainLibrary(make_source(np.zeros(1), np.eye(1)), capacity_bytes=2**24)
    learner, weights = learner_of(student, good, recollection=Recollection(library))
    tensors = {name: tensor * 1.1 for name, tensor in weights.source.tensors.items()}
    library.remember(np.array([3.0]), tensors, agreement=0.5, num_frames=9)
    for frame_index in range(CONFIRM_FRAMES):
        assert learner.is_at_source and not learner.is_at_home
        learner.recall(frame_index, np.array([3.2]))
    assert learner.is_at_home and not learner.is_at_source and weights.latest.number == 1
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in adaptable_tensors(student).items())
    learner.learn(TARGET)
    moved = weights.latest.tensors["head.classifier.bias"] - tensors["head.classifier.bias"]
    assert torch.allclose(moved, torch.tensor(-0.1 * 1e-3), atol=1e-7)  # AdamW's first step, as from new
    learner.relax(9)
    assert not learner.is_at_home


def test_recovery_goes_back_to_the_newest_version(student: nn.Module) -> None:
    learner, weights = learner_of(student, good, good)
    learner.learn(TARGET)
    with torch.no_grad():
        for tensor in adaptable_tensors(student).values():
            tensor.add_(1.0)
    rollback = learner.recover(8)
    assert (rollback.frame_index, rollback.version) == (8, 1)
    assert all(torch.equal(t, weights.latest.tensors[name]) for name, t in adaptable_tensors(student).items())
    assert learner.learn(TARGET)[0].outcome == "applied"


def test_a_retired_learner_publishes_nothing_more(student: nn.Module) -> None:
    learner, weights = learner_of(student, good, good)
    learner.learn(TARGET)
    learner.retire()
    step, _ = learner.learn(TARGET)
    assert (step.outcome, step.version) == ("error", 0) and step.detail.startswith("WriterRetired")
    assert weights.latest is weights.source


def test_a_frame_that_teaches_nothing_changes_nothing_and_is_no_failure(student: nn.Module) -> None:
    learner, weights = learner_of(student, good, lambda _: None)
    learner.learn(TARGET)
    before = {name: tensor.clone() for name, tensor in adaptable_tensors(student).items()}
    step, rollback = learner.learn(TARGET)
    assert (step.outcome, step.version, rollback) == ("skipped", 1, None) and weights.latest.number == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in adaptable_tensors(student).items())


class Settling(Scripted):
    """Triples the learning rate, then pulls one weight to a constant by itself."""

    def rate(self) -> float:
        return 3.0

    def settle(self, student: nn.Module) -> None:
        with torch.no_grad():
            student.head.classifier.weight.fill_(0.25)


def test_a_method_may_scale_the_rate_and_set_weights_itself(student: nn.Module) -> None:
    weights = VersionedWeights(adaptable_tensors(student))
    learner = Learner(
        student,
        Settling(good),
        candidate_of(student, weights, max_drift=10.0),
        Descent(torch.optim.SGD(trainable_parameters(student), lr=1e-2)),
        ema_decay=0.0,
        clock=lambda: 1.0,
    )
    step, _ = learner.learn(TARGET, rate_share=0.5)
    assert step.outcome == "applied" and step.learning_rate == pytest.approx(1.5e-2)
    assert bool((weights.latest.tensors["head.classifier.weight"] == 0.25).all())


class Forgetful(Scripted):
    """Takes one weight back to where it was, and says so."""

    def starts_over(self) -> bool:
        return True


@pytest.mark.parametrize(("kind", "travelled"), [(Scripted, 0.01 + 0.019), (Forgetful, 0.01 + 0.01)])
def test_moments_do_not_outlive_a_return_to_the_source(student: nn.Module, kind, travelled: float) -> None:
    """Momentum 0.9 makes the second of two equal steps 1.9 times as long, unless the first is forgotten."""
    weights = VersionedWeights(adaptable_tensors(student))
    learner = Learner(
        student,
        kind(good, good),
        candidate_of(student, weights, max_drift=10.0),
        Descent(torch.optim.SGD(trainable_parameters(student), lr=1e-2, momentum=0.9), max_gradient_norm=math.inf),
        ema_decay=0.0,
        clock=lambda: 1.0,
    )
    learner.learn(TARGET)
    learner.learn(TARGET)
    name = "head.classifier.bias"
    offset = weights.source.tensors[name] - weights.latest.tensors[name]
    assert torch.allclose(offset, torch.full_like(offset, travelled), atol=1e-6)


def test_a_loss_without_a_graph_publishes_what_the_method_moved(student: nn.Module) -> None:
    learner, weights = learner_of(student, lambda _: torch.tensor(0.5))
    step, _ = learner.learn(TARGET)
    assert (step.outcome, step.loss, weights.latest.number) == ("applied", 0.5, 1)


def test_groups_keep_their_own_rates_and_large_gradients_may_stay(student: nn.Module) -> None:
    """SGD moves each weight by rate x gradient, which is 1 everywhere: the norm is far above 1."""
    weights = VersionedWeights(adaptable_tensors(student))
    classifier = list(student.head.classifier.parameters())
    others = [p for p in trainable_parameters(student) if all(p is not own for own in classifier)]
    learner = Learner(
        student,
        Scripted(good),
        candidate_of(student, weights, max_drift=100.0),
        Descent(
            torch.optim.SGD([{"params": others}, {"params": classifier, "lr": 1e-2}], lr=1e-3),
            max_gradient_norm=math.inf,
        ),
        ema_decay=0.0,
        clock=lambda: 1.0,
    )
    step, _ = learner.learn(TARGET, rate_share=0.5)
    assert (step.outcome, step.learning_rate) == ("applied", 5e-4)
    for name, rate in (("head.classifier.bias", 5e-3), ("head.bn.bias", 5e-4)):
        moved = weights.source.tensors[name] - weights.latest.tensors[name]
        assert torch.allclose(moved, torch.full_like(moved, rate), atol=1e-7)
