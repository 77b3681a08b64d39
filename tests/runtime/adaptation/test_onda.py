"""OnDA whole: its loss by hand, which networks move when, and a run that goes on bit for bit."""

import copy
import math

import numpy as np
import pytest
import torch

from models.mit import DropPath
from models.trainable import adaptable_tensors, set_trainable
from runtime.adaptation.descent import build_descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Target
from runtime.adaptation.methods import METHODS
from runtime.adaptation.onda import REFRESH_STEPS, Onda
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import (
    NUM_CLASSES,
    candidate_of,
    filled_replay,
    make_student,
    make_target,
    materials,
)

DARK = Target(0, np.zeros((32, 64, 3), np.uint8), np.zeros((32, 64), np.uint8), 0.5)


class Run:
    """A student that learns by OnDA's recipe."""

    def __init__(self, *, seed: int = 0) -> None:
        self.student = make_student()
        set_trainable(self.student, "full")
        self.given = materials(self.student, seed=seed)
        self.method = Onda(self.given)
        recipe = METHODS["onda"].recipe
        self.weights = VersionedWeights(adaptable_tensors(self.student))
        self.learner = Learner(
            self.student,
            self.method,
            candidate_of(self.student, self.weights, max_drift=float("inf")),
            build_descent(recipe, self.student, learning_rate=recipe.learning_rate),
            ema_decay=recipe.ema_decay,
            clock=lambda: 0.0,
        )


def test_the_recipe_is_the_published_one() -> None:
    recipe = METHODS["onda"].recipe
    assert (recipe.trainable, recipe.optimizer, recipe.learning_rate) == ("full", "sgd", 8e-4)
    assert (recipe.learning_rate * recipe.head_rate, recipe.weight_decay) == (1e-4, 1e-4)
    assert (recipe.ema_decay, recipe.policy, METHODS["onda"].track) == (0.0, "bare", "source-replay")


def test_an_undecided_network_pays_by_hand() -> None:
    """Equal answers cost ln K where there is a label; a label's reverse cross-entropy is -ln 1e-4 (1 - 1 / K).

    One class alone is known from the source, so it labels every pixel with certainty.
    """
    student = make_student()
    with torch.no_grad():
        student.head.classifier.weight.zero_()
        student.head.classifier.bias.zero_()
    loss = Onda(materials(student, replay=filled_replay(only_class=1))).loss(student, make_target())
    log_k = math.log(NUM_CLASSES)
    expected = log_k + 0.1 * log_k - math.log(1e-4) * (1 - 1 / NUM_CLASSES) + 0.1 * log_k
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_frame_moves_running_statistics_and_the_source_does_not() -> None:
    """Momentum 0.1 towards the frame's, whatever source sample is drawn before it; no paths are dropped here."""
    moved = []
    for seed, frame in ((0, make_target()), (1, make_target()), (0, DARK)):
        run = Run(seed=seed)
        for module in run.student.modules():
            if isinstance(module, DropPath):
                module.rate = 0.0
        before = run.student.head.bn.running_mean.clone()
        run.method.loss(run.student, frame)
        norm = run.student.head.bn
        assert norm.track_running_stats and not norm.training and not torch.equal(norm.running_mean, before)
        moved.append(norm.running_mean)
    assert torch.equal(moved[0], moved[1]) and not torch.equal(moved[0], moved[2])


def test_steps_move_the_student_the_teacher_and_the_prototypes() -> None:
    run = Run()
    prototypes = run.method._prototypes.means_KE.clone()
    for _ in range(2):
        step, _ = run.learner.learn(make_target())
        assert step.outcome == "applied"
    assert not torch.equal(run.method._prototypes.means_KE, prototypes)
    name = "head.linear_fuse.weight"
    source, student = run.weights.source.tensors[name], adaptable_tensors(run.student)[name]
    teacher = adaptable_tensors(run.method._teacher.model)[name]
    assert torch.equal(run.weights.latest.tensors[name], student) and not torch.equal(source, student)
    ahead = (student - source).norm()
    assert 0 < (teacher - source).norm() < 0.003 * ahead  # 0.001 of the first step, 0.001 of both


def test_the_dynamic_network_is_taken_after_500_steps_where_the_trend_is_steep() -> None:
    run = Run()
    run.method.load_state({**run.method.state(), "num_since_refresh": REFRESH_STEPS - 1})
    dynamic = adaptable_tensors(run.method._dynamic)["head.classifier.bias"]
    student = run.student.head.classifier.bias

    def is_taken() -> bool:
        with torch.no_grad():
            student.add_(1.0)
        run.method.settle(run.student)
        return torch.equal(dynamic, student)

    assert [is_taken() for _ in range(3)] == [False] * 3  # no trend yet
    for index in range(300):
        run.method._switch.update(0.95 - 0.001 * index)
    assert [is_taken() for _ in range(3)] == [True, False, False]  # the next 500 steps have begun


def test_an_unsure_source_network_hands_the_prior_to_the_dynamic_one() -> None:
    """The dynamic network rules out what the source network would have said."""
    run = Run()
    asked = []
    with run.method._dynamic.register_forward_pre_hook(lambda *_: asked.append(True)):
        run.method.loss(run.student, make_target())  # random weights are unsure
        assert len(asked) == 1
        for _ in range(10):
            run.method._switch.update(0.99)
        run.method.loss(run.student, make_target())
        assert len(asked) == 1


def test_a_run_goes_on_bit_for_bit_from_its_state() -> None:
    run = Run()
    for _ in range(2):
        run.learner.learn(make_target())
    state = copy.deepcopy(run.learner.state())
    chance = run.given.generator.get_state()
    expected = [run.learner.learn(make_target())[0].loss for _ in range(2)]

    again = Run(seed=9)
    again.learner.load_state(state)
    again.given.generator.set_state(chance)
    assert [again.learner.learn(make_target())[0].loss for _ in range(2)] == expected
    tensors = adaptable_tensors(run.student)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in again.weights.latest.tensors.items())


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of OnDA"):
        Run().method.load_state({"switch": {}})
