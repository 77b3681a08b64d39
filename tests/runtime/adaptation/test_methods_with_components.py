"""Methods joined with components, each by its own recipe: one step of the learner, whatever the two have in common."""

import math

import pytest
import torch

from models.light_decoder import LightDecoder
from models.trainable import adaptable_tensors, frozen_digest, replica
from runtime.adaptation.components import COMPONENTS, joined
from runtime.adaptation.descent import build_descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials, Method
from runtime.adaptation.methods import METHODS
from runtime.option_words import parse_components
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target

# Every method, and every component beside two of them at least; prior is for those whose norms alone learn.
JOINED = {
    "styled": "mic,entropy",
    "dacs": "tie,things",
    "bn": "prior,merge",
    "tent": "fisher,prior",
    "eata": "restore,fisher",
    "sar": "percentile,entropy",
    "rotta": "core,prior",
    "roid": "tie,restore",
    "cotta": "percentile",
    "cotta14": "merge",
    "hamlet": "things,core",
    "hamlet_released": "entropy,restore",
    "onda": "mic",
}
PACED = ("hamlet", "hamlet_released")


def test_each_method_is_here_and_each_component_beside_two() -> None:
    assert set(JOINED) == {name for name, entry in METHODS.items() if entry.build is not None}
    words = [word for names in JOINED.values() for word in names.split(",")]
    assert all(words.count(name) >= 2 for name in COMPONENTS)


@pytest.mark.parametrize(("name", "words"), JOINED.items())
def test_a_step_is_applied_with_a_finite_loss_and_moves_what_learns(name: str, words: str) -> None:
    entry = joined(METHODS[name], parse_components(words))
    recipe = entry.recipe
    student = make_student(recipe.trainable, sureness=50.0)
    digest, before = frozen_digest(student), {key: t.clone() for key, t in adaptable_tensors(student).items()}
    candidate = candidate_of(student, VersionedWeights(adaptable_tensors(student)), max_drift=math.inf)
    frozen = replica(student)
    given = Materials(
        filled_replay(2),
        frozen,
        candidate.model,
        torch.device("cpu"),
        torch.Generator().manual_seed(0),
        light_decoder=LightDecoder.of(frozen).requires_grad_(False).eval(),
        is_averaged=recipe.ema_decay > 0,
    )
    method = entry.build(given)
    if name in PACED:
        wake(method)
    descent = build_descent(recipe, student, learning_rate=recipe.learning_rate)
    learner = Learner(student, method, candidate, descent, ema_decay=recipe.ema_decay, clock=lambda: 0.0)
    step, rollback = learner.learn(make_target())
    assert (step.outcome, step.detail, rollback) == ("applied", "", None) and math.isfinite(step.loss)
    after = adaptable_tensors(student)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert any(not torch.equal(tensor, before[key]) for key, tensor in after.items())
    assert frozen_digest(student) == digest
    assert set(method.state()["parts"]) == set(words.split(","))


def wake(method: Method) -> None:
    """As after a change of domain that granted nine steps."""
    state = method.state()
    state["method"]["pace"]["budget"] = 9
    method.load_state(state)
