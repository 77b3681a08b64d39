"""RoTTA: what is remembered of a frame, when a step is due, and whose statistics are whose."""

import math

import numpy as np
import pytest
import torch

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica, set_trainable, trainable_parameters
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials
from runtime.adaptation.methods import METHODS
from runtime.adaptation.robust_norm import NormStatistics
from runtime.adaptation.rotta import RottaSelfTraining, timeliness
from runtime.state import flatten, unflatten
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import (
    candidate_of,
    filled_replay,
    make_student,
    make_target,
    materials,
    with_fixed_statistics,
)

MEAN = "head.bn.running_mean"


@pytest.fixture
def student() -> SegmentationModel:
    model = make_student()
    set_trainable(model, "norm")
    return model


def test_a_frame_gives_four_crops_of_itself(student: SegmentationModel) -> None:
    method, target = RottaSelfTraining(materials(student)), make_target()
    method.loss(student, target)
    memory = method.state()["memory"]
    crops = memory["images"].numpy()
    assert crops.shape[1:] == (32, 32, 3) and 1 <= len(crops) <= 4
    places = [target.image_HWC[:, left : left + 32] for left in range(64 - 32 + 1)]
    assert all(any((crop == place).all() for place in places) for crop in crops)
    assert (memory["ages"][memory["categories"] >= 0] <= 4).all()


def test_categories_and_entropies_are_the_teachers(student: SegmentationModel) -> None:
    given, target = materials(student), make_target()
    with torch.no_grad():  # the teacher is sure of class 1, whatever the student says
        given.teacher.head.classifier.weight.zero_()
        given.teacher.head.classifier.bias.copy_(torch.tensor([0.0, 2.0, 0.0, 0.0]))
    method = RottaSelfTraining(given)
    method.loss(student, target)
    memory = method.state()["memory"]
    held = memory["categories"] >= 0
    assert set(memory["categories"][held].tolist()) == {1}
    p = torch.tensor([0.0, 2.0, 0.0, 0.0]).softmax(dim=0)
    assert torch.allclose(memory["entropies"][held].float(), -(p * p.log()).sum(), atol=1e-5)


def test_timeliness_halves_at_birth_and_fades() -> None:
    ages = torch.tensor([0.0, 1.0, 3.0])
    expected = [math.exp(-age) / (1 + math.exp(-age)) for age in (0.0, 1.0, 3.0)]
    assert timeliness(ages).tolist() == pytest.approx(expected) and expected[0] == 0.5


def test_an_even_teacher_costs_a_guess_weighed_by_age(student: SegmentationModel) -> None:
    """Student and teacher even over K classes: log K for each crop, times the mean of its timeliness."""
    given = materials(student)
    for model in (student, given.teacher):
        with torch.no_grad():
            model.head.classifier.weight.zero_()
            model.head.classifier.bias.zero_()
    method = RottaSelfTraining(given)
    loss = method.loss(student, make_target())
    memory = method.state()["memory"]
    ages = memory["ages"][memory["categories"] >= 0] / 64
    assert loss is not None
    assert float(loss.detach()) == pytest.approx(math.log(4) * float(timeliness(ages).mean()), rel=1e-4)


def test_the_published_burst_is_a_constructor_value(student: SegmentationModel) -> None:
    method = RottaSelfTraining(materials(student), frames_per_step=16, crops_per_step=64)
    outcomes = [method.loss(student, make_target()) is None for _ in range(32)]
    assert outcomes == ([True] * 15 + [False]) * 2


def learner_of(student: SegmentationModel) -> tuple[Learner, Materials]:
    candidate = candidate_of(student, VersionedWeights(adaptable_tensors(student)), max_drift=math.inf)
    chance = torch.Generator().manual_seed(0)
    given = Materials(filled_replay(), replica(student), candidate.model, torch.device("cpu"), chance)
    learner = Learner(
        student,
        RottaSelfTraining(given),
        candidate,
        Descent(torch.optim.Adam(trainable_parameters(student), lr=1e-3)),
        ema_decay=0.999,
        clock=lambda: 0.0,
    )
    return learner, given


def test_served_statistics_follow_the_crops_by_a_twentieth_though_weights_follow_by_a_thousandth(
    student: SegmentationModel,
) -> None:
    """The frame being of one colour, all crops are alike and what the teacher's batch norm saw is known."""
    learner, given = learner_of(student)
    target = make_target(image_HWC=np.full((32, 64, 3), 90, np.uint8))
    with torch.no_grad():
        features = given.frozen.encoder(normalise(to_tensor(target.image_HWC[:, :32])[None]))
        mean_E, var_E = given.frozen.head.moments(features)
    weight = "encoder.stages.0.norm.weight"
    source = adaptable_tensors(given.frozen)[weight].clone()
    assert learner.learn(target)[0].outcome == "applied"
    served, live = adaptable_tensors(given.teacher), adaptable_tensors(student)
    assert torch.allclose(served[MEAN], 0.05 * mean_E, atol=1e-5)  # from 0
    assert torch.allclose(served["head.bn.running_var"], 0.95 + 0.05 * var_E, atol=1e-3)  # from 1
    assert torch.allclose(served[weight], 0.999 * source + 0.001 * live[weight], atol=1e-6)


def test_the_student_has_statistics_of_its_own(student: SegmentationModel) -> None:
    method = RottaSelfTraining(materials(student))
    method.loss(student, make_target())
    method.settle(student)
    served, own = adaptable_tensors(student)[MEAN], method.state()["mean"]
    assert not torch.equal(served, own)
    assert float(own.abs().max()) > 0 and float(served.abs().max()) > 0


def test_frozen_statistics_stay() -> None:
    model = with_fixed_statistics(make_student())
    before = NormStatistics.of(model.head).detached()
    method = RottaSelfTraining(materials(model))
    method.loss(model, make_target())
    method.settle(model)
    after = NormStatistics.of(model.head)
    assert torch.equal(before.mean_E, after.mean_E) and torch.equal(before.var_E, after.var_E)


def test_state_goes_to_disk_and_back_bit_for_bit(student: SegmentationModel) -> None:
    given = materials(student)
    first = RottaSelfTraining(given)
    for state in (first.state(), first.state()):  # empty, and with what two frames left
        second = RottaSelfTraining(given)
        second.load_state(unflatten(*flatten(state)))
        assert second.state()["num_frames"] == state["num_frames"]
        first.loss(student, make_target())
    chance, state = given.generator.get_state(), first.state()
    expected = first.loss(student, make_target())
    second = RottaSelfTraining(given)
    second.load_state(unflatten(*flatten(state)))
    given.generator.set_state(chance)
    again = second.loss(student, make_target())
    assert expected is not None and again is not None and torch.equal(again, expected)
    assert torch.equal(first.state()["mean"], second.state()["mean"])
    with pytest.raises(ValueError, match="RoTTA"):
        second.load_state({})


def test_published_settings_are_the_defaults() -> None:
    entry = METHODS["rotta"]
    assert entry.track == "source-free"
    recipe = entry.recipe
    assert (recipe.trainable, recipe.optimizer, recipe.learning_rate) == ("norm", "adam", 1e-3)
    assert recipe.max_gradient_norm == math.inf
    assert (recipe.ema_decay, recipe.policy) == (0.999, "bare")
