"""What a step of the learner moves, how far, and what it leaves alone."""

import math

import pytest
import torch
from torch import nn

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
from runtime.adaptation.learner import Learner
from runtime.adaptation.styled import StyledReplay
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target
from tests.runtime.adaptation.scripted import TARGET, Scripted, good, learner_of, nan


def test_only_the_adaptable_part_moves(student: nn.Module) -> None:
    before = frozen_digest(student)
    learner, _ = learner_of(student, good, good, nan)
    for _ in range(3):
        learner.learn(TARGET)
    learner.relax(9)
    assert frozen_digest(student) == before


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
