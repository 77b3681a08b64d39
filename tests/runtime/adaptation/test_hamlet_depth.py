"""The depth agent against a plain reading of its rule, and which weights a depth moves, old moments or not."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.trainable import only_learning, set_trainable, trainable_parameters
from runtime.adaptation.hamlet_depth import SPEEDS, DepthAgent, parts_from
from tests.runtime.adaptation.samples import make_student

WEIGHTS = (0.154, 0.220, 0.258, 0.368)  # softmax of the speeds over 1.75, to three digits


def run(agent: DepthAgent, losses: list[float]) -> list[int]:
    chosen = []
    for loss in losses:
        chosen.append(agent.choose())
        agent.credit(loss)
    return chosen


def test_weights_are_those_of_the_released_speeds() -> None:
    assert DepthAgent().weights() == pytest.approx(WEIGHTS, abs=5e-4)


def test_scores_by_hand() -> None:
    """Losses 1.0, 0.8, 0.9: the first tells nothing; 0.8 is 0.2 below the line 1.0, 1.0; 0.9 is 0.3 above 0.6."""
    w = DepthAgent().weights()[0]
    agent = DepthAgent()
    assert run(agent, [1.0]) == [1] and agent.scores == (0.0, 0.0, 0.0, 0.0)
    run(agent, [0.8])
    assert agent.scores == pytest.approx((0.1 * 0.2 * w, 0.0, 0.0, 0.0))
    assert run(agent, [0.9]) == [1]
    expected = 0.9 * (0.1 * 0.2 * w) - 0.1 * 0.3 * (1 - w)
    assert agent.scores == pytest.approx((expected, 0.0, 0.0, 0.0))
    assert agent.choose() == 2  # below the others, which are still at 0


def test_the_released_code_weights_what_was_spoilt_as_what_was_gained() -> None:
    agent = DepthAgent(is_released=True)
    run(agent, [1.0, 1.5])
    assert agent.scores[0] == pytest.approx(-0.1 * 0.5 * DepthAgent().weights()[0])


def test_slow_depths_pay_more_for_what_they_spoil() -> None:
    def penalty(depth: int) -> float:
        agent = DepthAgent()
        scores = [-1.0] * 4
        scores[depth - 1] = 0.0
        agent.load_state({**agent.state(), "scores": scores})
        run(agent, [1.0, 2.0])
        return -agent.scores[depth - 1]

    assert [penalty(depth) for depth in (1, 2, 3, 4)] == sorted((penalty(d) for d in (1, 2, 3, 4)), reverse=True)


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=40), st.booleans())
def test_choices_are_those_of_the_rule_read_plainly(losses: list[float], is_released: bool) -> None:
    """Written with the whole history at hand instead of two losses and a choice."""
    powers = [math.exp(speed / 1.75) for speed in SPEEDS]
    weights = [power / sum(powers) for power in powers]
    scores, chosen = [0.0] * 4, []
    for t, loss in enumerate(losses):
        chosen.append(max(range(1, 5), key=lambda depth: (scores[depth - 1], -depth)))
        history = [losses[0], losses[0], *losses]  # two before the first
        gain = 2 * history[t + 1] - history[t] - loss
        blamed = chosen[t - 1] if t else chosen[0]
        weight = weights[blamed - 1]
        scores = [0.9 * score for score in scores]
        scores[blamed - 1] += 0.1 * gain * (weight if gain > 0 or is_released else 1 - weight)
    agent = DepthAgent(is_released=is_released)
    assert run(agent, losses) == chosen
    assert agent.scores == pytest.approx(tuple(scores), abs=1e-9)


def test_the_first_step_of_each_depth_warms_up_and_is_not_measured() -> None:
    agent = DepthAgent()
    for depth in (2, 4):
        agent.note_time(depth, 30.0)
    assert agent.speeds() == pytest.approx(SPEEDS) and agent.state()["times_s"] == [None] * 4
    agent.note_time(4, 0.25)
    assert agent.state()["times_s"] == [None, None, None, 0.25]


def test_measured_times_replace_the_table_and_keep_its_scale() -> None:
    agent = DepthAgent()
    for depth in (2, 4):
        agent.note_time(depth, 9.0)  # warm-up
    agent.note_time(2, 0.5)
    assert agent.speeds() == pytest.approx(SPEEDS)  # one time tells nothing about the others
    agent.note_time(4, 0.125)  # four times as fast as depth 2; the two average (4.83 + 5.73) / 2 = 5.28
    assert agent.speeds() == pytest.approx((4.21, 5.28 * 2 / 5, 5.11, 5.28 * 8 / 5))
    agent.note_time(4, 0.225)  # a tenth of the way
    agent.note_time(2, 0.0)  # a clock that stands still
    assert agent.speeds()[3] / agent.speeds()[1] == pytest.approx(0.5 / 0.135)


@given(st.lists(st.floats(0.0, 5.0), max_size=20), st.lists(st.floats(0.0, 5.0), max_size=20))
def test_it_goes_on_from_its_state(before: list[float], after: list[float]) -> None:
    agent, other = DepthAgent(), DepthAgent()
    run(agent, before)
    for _ in range(2):
        agent.note_time(3, 0.2)
    other.load_state(json.loads(json.dumps(agent.state())))
    assert run(agent, after) == run(other, after) and agent.scores == other.scores


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of a depth agent"):
        DepthAgent().load_state({"scores": [0.0]})


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("is_released", [False, True])
def test_a_depth_moves_its_stages_and_no_others_even_with_old_moments(depth: int, is_released: bool) -> None:
    """AdamW has moments and decay for everything from a full step; what rests must stay to the last bit."""
    student = make_student()
    set_trainable(student, "full")
    optimizer = torch.optim.AdamW(trainable_parameters(student), lr=1e-3, weight_decay=0.1)

    def step(first_stage: int) -> set[str]:
        before = {name: parameter.detach().clone() for name, parameter in student.named_parameters()}
        optimizer.zero_grad(set_to_none=True)
        with only_learning(student, parts_from(student, first_stage, is_released=is_released)):
            loss = student(torch.randn(1, 3, 32, 32)).square().mean()
        loss.backward()
        optimizer.step()
        return {name for name, parameter in student.named_parameters() if not torch.equal(parameter, before[name])}

    step(1)
    moved = step(depth)
    expected = {
        name
        for name, _ in student.named_parameters()
        if any(name.startswith((f"encoder.stages.{n}.", f"head.linear_c.{n}.")) for n in range(depth - 1, 4))
        or (not is_released and name.startswith(("head.linear_fuse", "head.bn", "head.classifier")))
    }
    assert moved == expected
