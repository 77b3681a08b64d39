"""The learner publishes averages, rolls back what failed, and finds its way home."""

import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.trainable import adaptable_tensors, trainable_parameters
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import MAX_REFUSED, RELAX_STEPS, Learner
from runtime.adaptation.recollection import CONFIRM_FRAMES, Recollection
from runtime.library import DomainLibrary
from runtime.weights import VersionedWeights
from tests.fakes import make_source
from tests.runtime.adaptation.samples import candidate_of
from tests.runtime.adaptation.scripted import (
    TARGET,
    Scripted,
    broken,
    exploding_gradient,
    good,
    hungry,
    learner_of,
    nan,
    starved,
    starved_on_device,
)


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
    assert rollback is not None and (rollback.version, rollback.cause) == (1, outcome)
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
