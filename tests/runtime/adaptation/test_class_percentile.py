"""Class percentiles: who is believed, how classes weigh, and what is remembered."""

import math

import pytest
import torch
from torch import nn

from runtime.adaptation.class_percentile import ClassPercentile
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, make_student, make_target, materials


class Halves(nn.Module):
    """Class 0 on the left, 3 on the right, at the log odds given against the three others."""

    def __init__(self, left, right):
        super().__init__()
        self._odds = (left, right)

    def forward(self, x_B3HW):
        B, _, H, W = x_B3HW.shape
        logits = torch.zeros(B, NUM_CLASSES, H // 4, W // 4)
        logits[:, 0, :, : W // 8] = self._odds[0]
        logits[:, 3, :, W // 8 :] = self._odds[1]
        return logits


def sureness(odds):
    return math.exp(odds) / (math.exp(odds) + NUM_CLASSES - 1)


def make_term(teacher, **options):
    given = materials(make_student())
    return ClassPercentile(type(given)(given.replay, given.frozen, teacher, given.device, given.generator), **options)


def test_an_undecided_student_pays_a_guess_at_the_mean_weight_of_the_classes() -> None:
    """Both halves are believed, their pixels being equally sure; weights of the two classes are 1 on average."""
    loss = make_term(Halves(5.0, 3.0), weight=2.0).loss(Listening(), make_target())
    assert float(loss.detach()) == pytest.approx(2.0 * math.log(NUM_CLASSES), rel=1e-4)


def test_the_harder_class_weighs_more_in_proportion() -> None:
    student, term = Listening(), make_term(Halves(3.0, 2.0))
    term.loss(student, make_target()).backward()
    hard, easy = 1 - sureness(2.0), 1 - sureness(3.0)
    share = hard / (hard + easy)  # of the gradient, half of the pixels being of either class
    expected = [0.25 - (1 - share), 0.25, 0.25, 0.25 - share]
    assert student.scores_K.grad.tolist() == pytest.approx(expected, rel=1e-4)


def test_what_is_too_unsure_is_not_believed() -> None:
    """Odds of 1 are 0.48 sure, below the floor: the left half alone counts."""
    student, term = Listening(), make_term(Halves(5.0, 1.0))
    loss = term.loss(student, make_target())
    loss.backward()
    assert float(student.scores_K.grad[3]) > 0 > float(student.scores_K.grad[0])


def test_a_frame_that_is_sure_of_nothing_costs_nothing() -> None:
    student = Listening()
    loss = make_term(Halves(0.5, 0.5)).loss(student, make_target())
    loss.backward()
    assert float(loss.detach()) == 0.0 and not student.scores_K.grad.any()


def test_hardness_is_averaged_over_frames_and_kept() -> None:
    teacher = Halves(3.0, 3.0)
    term, other = make_term(teacher), make_term(teacher)
    term.loss(Listening(), make_target())
    teacher._odds = (1.0, 3.0)
    term.loss(Listening(), make_target())
    hardness = term.state()["hardness"]
    assert float(hardness[0]) == pytest.approx(0.9 * (1 - sureness(3.0)) + 0.1 * (1 - sureness(1.0)), rel=1e-4)
    assert bool(hardness[1:3].isnan().all())
    other.load_state(term.state())
    assert torch.equal(other.class_weights(torch.tensor([0, 3])), term.class_weights(torch.tensor([0, 3])))
    with pytest.raises(ValueError, match="not the state of class percentiles"):
        other.load_state({})


def test_an_easy_class_keeps_a_voice() -> None:
    term = make_term(Halves(20.0, 2.0))
    term.loss(Listening(), make_target())
    weights = term.class_weights(torch.tensor([0, 3]))
    assert float(weights[0] / weights[3]) == pytest.approx(0.05 / (1 - sureness(2.0)), rel=1e-4)
    assert float(weights[1]) == 1.0
