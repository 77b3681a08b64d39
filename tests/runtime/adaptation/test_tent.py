"""TENT: entropy of the model's own answers, in its norms, under the frame's statistics."""

import math

import pytest
import torch

from models.trainable import trainable_parameters
from runtime.adaptation.tent import Tent
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, make_student, make_target

CPU = torch.device("cpu")


def test_a_guess_costs_the_entropy_of_a_guess() -> None:
    loss = Tent(device=CPU).loss(Listening(), make_target())
    assert float(loss.detach()) == pytest.approx(math.log(NUM_CLASSES))


def test_the_student_sees_the_whole_frame_once() -> None:
    student = Listening()
    Tent(device=CPU).loss(student, make_target())
    assert student.seen_B3HW.shape == (1, 3, 32, 64)


def test_steps_make_answers_surer_and_take_over_the_frames_statistics() -> None:
    student, target = make_student("norm", sureness=20.0), make_target()
    optimizer = torch.optim.Adam(trainable_parameters(student), lr=1e-3)
    before, losses = student.head.bn.running_mean.clone(), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = Tent(device=CPU).loss(student, target)
        losses.append(float(loss.detach()))
        loss.backward()
        optimizer.step()
    assert losses[0] > losses[1] > losses[2]
    assert not torch.equal(student.head.bn.running_mean, before)


def test_the_gradient_knows_that_statistics_depend_on_the_weights() -> None:
    """Under its own statistics a norm does not notice that all of its input is scaled, so neither does the entropy:
    the gradient to the projection before it has no part along that projection.
    """
    student = make_student("norm", sureness=20.0)
    weight = student.head.linear_fuse.weight.requires_grad_(True)
    Tent(device=CPU).loss(student, make_target()).backward()
    along = float((weight.grad * weight.detach()).sum())
    assert abs(along) < 1e-4 * float(weight.grad.norm() * weight.detach().norm())
