"""The output tie: nothing at the source, closed forms away from it, and gradients that stay within a stage."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.adapters import AdapterConfig, attach_adapters
from models.preprocess import normalise, to_tensor
from models.trainable import set_trainable
from models.zoo import build_model
from runtime.adaptation.tie import OutputTie
from tests.runtime.adaptation.samples import make_student, make_target, materials


def student_of(stages, mode="adapters"):
    torch.manual_seed(0)
    model = attach_adapters(build_model("segformer_b0", num_classes=4), AdapterConfig(stages=stages, scale=1.0))
    set_trainable(model, mode)
    return model.eval()


def learn(model):
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if ".adapter.up" in name:
            nn.init.normal_(parameter, std=0.1)


def test_at_the_source_there_is_nothing_to_hold() -> None:
    student = make_student()
    assert float(OutputTie(materials(student)).loss(student, make_target()).detach()) == 0.0


def test_it_is_the_mean_absolute_difference_of_each_stage_fed_alike() -> None:
    student = student_of((3, 4))
    term = OutputTie(materials(student), weight=0.5)
    frozen = student_of((3, 4))
    learn(student)
    target = make_target()
    with torch.no_grad():
        x = normalise(to_tensor(target.image_HWC)[None])
        second = frozen.encoder.run_stages(x, stop=2)[-1]
        third = student.encoder.stages[2](second)
        expected = (third - frozen.encoder.stages[2](second)).abs().mean()
        expected += (student.encoder.stages[3](third) - frozen.encoder.stages[3](third)).abs().mean()
    torch.testing.assert_close(term.loss(student, target).detach(), 0.5 * expected)
    assert float(expected) > 0.01


def test_a_stage_is_not_moved_for_what_comes_after_it() -> None:
    """With only the third stage away from the source, what its adapters are pulled by is the third stage's output."""
    student = student_of((3, 4))
    term, alone = OutputTie(materials(student), weight=1.0), student_of((3, 4))
    learn(student.encoder.stages[2])
    learn(alone.encoder.stages[2])
    target = make_target()
    term.loss(student, target).backward()
    x = alone.encoder.run_stages(normalise(to_tensor(target.image_HWC)[None]), stop=2)[-1].detach()
    with torch.no_grad():
        frozen = student_of((3, 4)).encoder.stages[2](x)
    (alone.encoder.stages[2](x) - frozen).abs().mean().backward()
    gradients = dict(alone.named_parameters())
    for name, parameter in student.named_parameters():
        if ".stages.2." in name and parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-4, atol=1e-7)


def test_a_step_against_it_goes_back_towards_the_source() -> None:
    student = student_of((4,))
    term = OutputTie(materials(student), weight=1.0)
    learn(student)
    optimizer = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = term.loss(student, make_target())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0]


def test_where_no_stage_learns_it_has_nothing_to_say() -> None:
    student = student_of((4,), mode="head")
    assert OutputTie(materials(student)).loss(student, make_target()) is None


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_it_works_on_crops(share) -> None:
    student = make_student()
    assert OutputTie(materials(student)).loss(student, replace(make_target(), crop_share=share)).requires_grad
