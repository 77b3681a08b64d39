"""The teacher begins as the student, is the mean of the first thousand, and then follows slowly."""

import pytest
import torch

from models.trainable import adaptable_tensors, frozen_digest, replica, set_trainable
from runtime.adaptation.mean_teacher import MeanTeacher
from tests.runtime.adaptation.samples import make_student

NAME = "head.classifier.bias"


def set_to(student: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in adaptable_tensors(student).values():
            tensor.fill_(value)


def mean_of(teacher: MeanTeacher) -> float:
    return float(adaptable_tensors(teacher.model)[NAME].mean())


def test_it_is_the_mean_of_all_students_at_first() -> None:
    """a_t = 1 - 1 / (t + 1) is a running mean: 4, then (4 + 8) / 2, then (4 + 8 + 0) / 3."""
    student = make_student()
    teacher = MeanTeacher(student)
    means = []
    for value in (4.0, 8.0, 0.0):
        set_to(student, value)
        teacher.follow(student)
        means.append(mean_of(teacher))
    assert means == pytest.approx([4.0, 6.0, 4.0], rel=1e-6)


def test_later_it_follows_at_its_decay() -> None:
    student = make_student()
    teacher = MeanTeacher(student, decay=0.5)
    set_to(student, 0.0)
    teacher.follow(student)
    set_to(student, 1.0)
    means = []
    for _ in range(3):
        teacher.follow(student)
        means.append(mean_of(teacher))
    assert means == pytest.approx([0.5, 0.75, 0.875])


@pytest.mark.parametrize("uses_batch_statistics", [False, True])
def test_answering_moves_nothing_anywhere(uses_batch_statistics: bool) -> None:
    student = make_student()
    teacher = MeanTeacher(student, uses_batch_statistics=uses_batch_statistics)
    teacher.follow(student)
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items() if tensor.is_floating_point()}
    digest = frozen_digest(student)
    logits = teacher.answer(torch.randn(1, 3, 32, 64))
    assert not logits.requires_grad and logits.shape == (1, 4, 8, 16)
    assert frozen_digest(student) == digest
    assert all(torch.equal(teacher.model.state_dict()[name], tensor) for name, tensor in before.items())


def test_batch_statistics_are_those_of_what_is_asked() -> None:
    """Features scaled before batch norm leave its answer as it was; running statistics would show them."""
    student = make_student()
    x_B3HW = torch.randn(1, 3, 32, 64)
    answers = []
    for uses_batch_statistics in (True, False):
        for factor in (1.0, 3.0):
            model = replica(student)
            set_trainable(model, "full")
            with torch.no_grad():
                model.head.linear_fuse.weight.mul_(factor)
            answers.append(MeanTeacher(model, uses_batch_statistics=uses_batch_statistics).answer(x_B3HW))
    assert torch.allclose(answers[0], answers[1], atol=1e-3)
    assert not torch.allclose(answers[2], answers[3], atol=1e-3)


def test_it_goes_on_bit_for_bit_from_its_state() -> None:
    student = make_student()
    teacher, other = MeanTeacher(student), MeanTeacher(student)
    for value in (1.0, 3.0):
        set_to(student, value)
        teacher.follow(student)
    other.load_state(teacher.state())
    set_to(student, 0.1)
    for each in (teacher, other):
        each.follow(student)
    assert all(
        torch.equal(a, b)
        for a, b in zip(adaptable_tensors(teacher.model).values(), adaptable_tensors(other.model).values(), strict=True)
    )


def test_it_owns_what_it_averages_and_shares_the_rest() -> None:
    student = make_student()
    teacher = MeanTeacher(student)
    names = set(student.adaptable_names)
    for name, parameter in student.named_parameters():
        same = teacher.model.get_parameter(name).data_ptr() == parameter.data_ptr()
        assert same == (name not in names), name
    assert any(parameter.requires_grad for parameter in student.parameters())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_states_and_decays_are_checked() -> None:
    with pytest.raises(ValueError, match="not the state of this mean teacher"):
        MeanTeacher(make_student()).load_state({"num_steps": 1, "average": {}})
    with pytest.raises(ValueError, match="decay must be in"):
        MeanTeacher(make_student(), decay=1.0)


def test_without_a_ramp_it_begins_as_the_model_it_was_made_of() -> None:
    student = make_student()
    set_to(student, 2.0)
    teacher = MeanTeacher(student, decay=0.75, is_ramped=False)
    set_to(student, 0.0)
    means = []
    for _ in range(2):
        teacher.follow(student)
        means.append(mean_of(teacher))
    assert means == pytest.approx([1.5, 1.125])
