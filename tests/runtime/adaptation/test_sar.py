"""SAR: the gradient at the worst weights nearby, the filters at both, and the way back from collapse."""

import math

import pytest
import torch
from torch import Tensor

from models.losses import pixel_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import only_learning, outermost_parameters, replica
from runtime.adaptation.method import Target
from runtime.adaptation.sar import RHO, Sar
from tests.runtime.adaptation.samples import Painted, make_student, make_target, nth_target

CPU = torch.device("cpu")


def sure_student() -> SegmentationModel:
    return make_student("norm", sureness=30.0)


def explicit_two_steps(student: SegmentationModel, target: Target) -> dict[str, Tensor]:
    """The gradients by the book: climb in place, backward there, climb down. Norms of the head and last stage rest."""
    x_B3HW = normalise(to_tensor(target.image_HWC)[None])
    margin = 0.4 * math.log(student.num_classes)
    moving = [
        p
        for name, p in student.named_parameters()
        if p.requires_grad and not name.startswith(("head", "encoder.stages.3"))
    ]
    student.head.bn.train()
    student.head.bn.momentum = 0.0
    entropy = pixel_entropy(student(x_B3HW))
    first = entropy < margin
    entropy[first].mean().backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in moving))
    offsets = [RHO * p.grad / norm for p in moving]
    student.zero_grad()
    with torch.no_grad():
        for parameter, offset in zip(moving, offsets, strict=True):
            parameter.add_(offset)
    entropy = pixel_entropy(student(x_B3HW))
    entropy[first & (entropy < margin)].mean().backward()
    chosen = {id(parameter) for parameter in moving}
    return {name: p.grad for name, p in student.named_parameters() if id(p) in chosen}


def test_the_gradient_is_that_of_two_explicit_steps() -> None:
    student, twin = sure_student(), sure_student()
    Sar(replica(student), device=CPU).loss(student, make_target()).backward()
    expected = explicit_two_steps(twin, make_target())
    assert {name for name, p in student.named_parameters() if p.grad is not None} == expected.keys()
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3
    for name, gradient in expected.items():
        torch.testing.assert_close(student.get_parameter(name).grad, gradient, atol=1e-6, rtol=1e-4)


def test_without_a_climb_it_is_plain_descent() -> None:
    student, climbing = sure_student(), sure_student()
    Sar(replica(student), device=CPU, rho=0.0).loss(student, make_target()).backward()
    Sar(replica(student), device=CPU).loss(climbing, make_target()).backward()
    plain = pixel_entropy(explicit_logits(sure := sure_student()))
    plain[plain < 0.4 * math.log(4)].mean().backward()
    name = "encoder.stages.0.norm.weight"
    torch.testing.assert_close(student.get_parameter(name).grad, sure.get_parameter(name).grad, atol=1e-6, rtol=1e-4)
    assert not torch.allclose(climbing.get_parameter(name).grad, sure.get_parameter(name).grad, rtol=1e-2)


def explicit_logits(student: SegmentationModel) -> Tensor:
    """The frame under its own statistics, by torch's training mode."""
    student.head.bn.train()
    return student(normalise(to_tensor(make_target().image_HWC)[None]))


def test_pixels_count_that_are_reliable_here_and_nearby() -> None:
    """Of two pixels one is on the brink: sure here, and past the margin after a climb of 0.05 along its gradient."""
    margin = 0.4 * math.log(2)
    sure, brink = torch.tensor([4.0, 0.0]), torch.tensor([2.46, 0.0])
    student = Painted(torch.stack([sure, brink], dim=1)[None, :, None, :])
    entropy = pixel_entropy(student.logits_1KHW.detach())
    assert float(entropy.max()) < margin < float(entropy.max()) + 0.005
    loss = Sar(Painted(student.logits_1KHW.detach().clone()), device=CPU).loss(student, make_target())
    loss.backward()
    assert bool((student.logits_1KHW.grad[..., 0] != 0).any()) and bool((student.logits_1KHW.grad[..., 1] == 0).all())


def test_weights_are_where_they_were_until_the_learner_moves_them() -> None:
    student = sure_student()
    before = {name: p.detach().clone() for name, p in student.named_parameters()}
    Sar(replica(student), device=CPU).loss(student, make_target()).backward()
    assert all(torch.equal(p, before[name]) for name, p in student.named_parameters())


def test_the_frames_statistics_are_taken_from_the_weights_it_has_not_those_nearby() -> None:
    student, twin = sure_student(), sure_student()
    Sar(replica(student), device=CPU).loss(student, make_target())
    twin.head.bn.momentum = 1.0
    explicit_logits(twin)
    assert torch.equal(student.head.bn.running_mean, twin.head.bn.running_mean)


def test_a_frame_it_is_unsure_of_and_a_shallow_step_teach_nothing() -> None:
    unsure, sure = make_student("norm"), sure_student()
    assert not Sar(replica(unsure), device=CPU).loss(unsure, make_target()).requires_grad
    with only_learning(sure, outermost_parameters(sure)):
        assert not Sar(replica(sure), device=CPU).loss(sure, make_target()).requires_grad


def test_collapse_takes_norms_back_to_the_source_once_and_the_mean_begins_anew() -> None:
    student = make_student("norm", sureness=1000.0)  # so sure that the first loss is below the limit
    source = replica(student)
    method = Sar(replica(student), device=CPU)
    with torch.no_grad():
        student.encoder.stages[0].norm.bias.add_(0.01)
        student.head.bn.bias.add_(0.01)
    loss = float(method.loss(student, make_target()).detach())
    assert loss < 0.2 / math.log(1000) * math.log(4)
    assert method.state()["mean_loss"] == pytest.approx(loss)
    statistics = student.head.bn.running_mean.clone()
    method.settle(student)
    assert method.starts_over() and method.state()["mean_loss"] is None
    for name, parameter in student.named_parameters():
        assert torch.equal(parameter, source.get_parameter(name)), name
    assert torch.equal(student.head.bn.running_mean, statistics)
    method.settle(student)
    assert not method.starts_over()


def test_healthy_learning_is_left_alone() -> None:
    student = sure_student()
    method = Sar(replica(student), device=CPU)
    losses = [float(method.loss(student, nth_target(n)).detach()) for n in range(2)]
    assert method.state()["mean_loss"] == pytest.approx(0.9 * losses[0] + 0.1 * losses[1])
    with torch.no_grad():
        student.head.bn.bias.add_(0.01)
    before = student.head.bn.bias.detach().clone()
    method.settle(student)
    assert not method.starts_over() and torch.equal(student.head.bn.bias, before)


def test_it_goes_on_from_its_state_and_from_no_other() -> None:
    method = Sar(sure_student(), device=CPU)
    method.load_state({"mean_loss": 0.5})
    assert method.state() == {"mean_loss": 0.5}
    with pytest.raises(ValueError, match="not the state of SAR"):
        method.load_state({"mean": 0.5})
