"""DACS as published: everything learns, at its rates, and a run goes on from its state bit for bit."""

import copy

import pytest
import torch

from models.trainable import adaptable_tensors, set_trainable
from runtime.adaptation.dacs import DacsSelfTraining
from runtime.adaptation.descent import build_descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.methods import METHODS
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target, materials


def learner_of(student, given):
    recipe = METHODS["dacs"].recipe
    weights = VersionedWeights(adaptable_tensors(student))
    learner = Learner(
        student,
        METHODS["dacs"].build(given),
        candidate_of(student, weights, max_drift=float("inf")),
        build_descent(recipe, student, learning_rate=recipe.learning_rate),
        ema_decay=recipe.ema_decay,
        clock=lambda: 0.0,
    )
    return learner, weights


def test_the_recipe_is_the_published_one() -> None:
    recipe = METHODS["dacs"].recipe
    assert (recipe.trainable, recipe.optimizer, recipe.learning_rate) == ("full", "adamw", 6e-5)
    assert (recipe.head_rate, recipe.weight_decay, recipe.decays_norms) == (10.0, 0.01, False)
    assert (recipe.ema_decay, recipe.policy) == (0.0, "bare")
    assert METHODS["dacs"].track == "source-replay"


@pytest.mark.parametrize("mode", ["full", "adapters+head"])
def test_every_tensor_that_learns_moves_and_is_served(mode) -> None:
    student = make_student()
    set_trainable(student, mode)
    learner, weights = learner_of(student, materials(student))
    for _ in range(3):  # an adapter's way down learns once its way up has left zero
        step, rollback = learner.learn(make_target())
        assert (step.outcome, rollback) == ("applied", None) and step.loss > 0
    source, served = weights.source.tensors, weights.latest.tensors
    still = {name for name in source if torch.equal(source[name], served[name])}
    statistics = {name for name in source if ".running_" in name}
    assert still == (set() if mode == "full" else statistics)
    assert all(torch.equal(served[name], tensor) for name, tensor in adaptable_tensors(student).items())


def test_a_run_goes_on_bit_for_bit_from_its_state() -> None:
    student = make_student()
    set_trainable(student, "full")
    given = materials(student)
    learner, _ = learner_of(student, given)
    for _ in range(2):
        learner.learn(make_target())
    kept = copy.deepcopy(learner.state())
    chance, replay = given.generator.get_state(), given.replay.state()
    expected = [learner.learn(make_target())[0].loss for _ in range(2)]

    again = make_student()
    set_trainable(again, "full")
    given = materials(again, replay=filled_replay(), seed=5)
    learner_again, weights = learner_of(again, given)
    learner_again.load_state(kept)
    given.generator.set_state(chance)
    given.replay.load_state(replay)
    assert [learner_again.learn(make_target())[0].loss for _ in range(2)] == expected
    tensors = adaptable_tensors(student)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in weights.latest.tensors.items())


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of DACS"):
        DacsSelfTraining(materials(make_student())).load_state({"bank": {}})
