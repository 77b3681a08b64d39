"""The methods there are, by name, each building what the learner can use."""

import math

import pytest
import torch

from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica, set_trainable
from replay.buffer import ReplayBuffer
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.methods import METHODS
from runtime.config import AdaptationConfig
from runtime.optimizers import build_optimizer
from runtime.state import flatten, unflatten
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target, materials


def test_the_names_are_these_and_the_default_is_one() -> None:
    names = ["styled", "dacs", "rotta", "roid", "cotta", "cotta14", "hamlet", "hamlet_released", "onda", "frozen"]
    assert list(METHODS) == names
    assert AdaptationConfig().method in METHODS and METHODS["frozen"].build is None
    assert all(entry.summary and "\n" not in entry.summary for entry in METHODS.values())


LEARNING = [name for name, entry in METHODS.items() if entry.build is not None]
PACED = {"hamlet", "hamlet_released"}  # rest until they have seen a change: they have tests of their own


@pytest.mark.parametrize("name", [name for name in LEARNING if name not in PACED])
def test_every_method_gives_a_loss_that_trains_and_repeats(name) -> None:
    def one_loss() -> tuple[float, list[torch.Tensor]]:
        student = make_student()
        method = METHODS[name].build(materials(student))
        loss = method.loss(student, make_target())
        assert loss.shape == () and bool(torch.isfinite(loss)) and float(loss.detach()) > 0
        loss.backward()
        learning = [parameter for parameter in student.parameters() if parameter.requires_grad]
        frozen = [parameter for parameter in student.parameters() if not parameter.requires_grad]
        assert learning and all(parameter.grad is not None for parameter in learning)
        assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in learning)
        assert frozen and all(parameter.grad is None for parameter in frozen)
        return float(loss.detach()), [parameter.grad for parameter in learning]

    (first, first_grads), (again, again_grads) = one_loss(), one_loss()
    assert first == again
    assert all(torch.equal(a, b) for a, b in zip(first_grads, again_grads, strict=True))
    assert any(float(gradient.abs().max()) > 0 for gradient in first_grads)


@pytest.mark.parametrize("name", LEARNING)
def test_losses_write_into_nothing_they_are_given(name) -> None:
    target = make_target()
    image, labels = target.image_HWC.copy(), target.labels_HW.copy()
    replay = filled_replay()
    held = [tensor.clone() for tensor in replay.gather(torch.arange(len(replay)))]
    student = make_student()
    METHODS[name].build(materials(student, replay=replay)).loss(student, target)
    assert (target.image_HWC == image).all() and (target.labels_HW == labels).all()
    assert all(torch.equal(a, b) for a, b in zip(held, replay.gather(torch.arange(len(replay))), strict=True))


def test_a_target_carries_no_truth() -> None:
    assert set(Target.__slots__) == {
        "frame_index",
        "image_HWC",
        "labels_HW",
        "confident_share",
        "crop_share",
        "appearance_F",
    }


def learner_of(name: str) -> tuple[Learner, torch.Generator, ReplayBuffer, SegmentationModel]:
    """A learner of the method by its own recipe, its chance, its replay, and the model of its average."""
    entry = METHODS[name]
    assert entry.build is not None
    student = make_student()
    set_trainable(student, entry.recipe.trainable)
    candidate = candidate_of(student, VersionedWeights(adaptable_tensors(student)), max_drift=math.inf)
    chance, replay = torch.Generator().manual_seed(0), filled_replay()
    given = Materials(replay, replica(student), candidate.model, torch.device("cpu"), chance)
    learner = Learner(
        student,
        entry.build(given),
        candidate,
        optimizer=build_optimizer(entry.recipe, student, learning_rate=entry.recipe.learning_rate),
        ema_decay=entry.recipe.ema_decay,
        clock=lambda: 0.0,
    )
    return learner, chance, replay, candidate.model


@pytest.mark.parametrize("name", [name for name in LEARNING if name not in PACED])
def test_learning_goes_on_from_its_state_bit_for_bit(name: str) -> None:
    first, chance, replay, served = learner_of(name)
    for _ in range(2):
        assert first.learn(make_target())[0].outcome == "applied"
    drawn, held, state = chance.get_state(), replay.state(), unflatten(*flatten(first.state()))
    second, other_chance, other_replay, other_served = learner_of(name)
    second.load_state(state)
    other_chance.set_state(drawn)
    other_replay.load_state(held)
    for _ in range(2):
        one, other = first.learn(make_target())[0], second.learn(make_target())[0]
        assert (one.outcome, one.loss) == (other.outcome, other.loss) == ("applied", other.loss)
    learnt, again = adaptable_tensors(served), adaptable_tensors(other_served)
    assert all(torch.equal(tensor, again[key]) for key, tensor in learnt.items())
