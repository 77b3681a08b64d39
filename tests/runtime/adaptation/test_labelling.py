"""Pseudo-labels come from an average: what is served where that is one, else a teacher of the term's own."""

from dataclasses import replace

import pytest
import torch

from models.preprocess import labels_of, normalise, to_tensor
from models.trainable import trainable_parameters
from runtime.adaptation.labelling import Labelling
from tests.runtime.adaptation.samples import make_student, make_target, materials


def moved(student, by):
    with torch.no_grad():
        for parameter in trainable_parameters(student):
            parameter.add_(by)


def test_an_average_that_serves_has_answered_already() -> None:
    student, target = make_student(), make_target()
    given = materials(student)
    labelling = Labelling(given)
    labels, share = labelling.served(student, target)
    assert (labels.numpy() == target.labels_HW).all() and share == target.confident_share
    assert labelling.teacher(student) is given.teacher and labelling.state() == {}


def test_a_student_that_serves_is_followed_by_a_teacher() -> None:
    """The first teacher is the student, the second the mean of two students."""
    student, target = make_student(), make_target()
    labelling = Labelling(replace(materials(student), is_averaged=False))
    name = "head.classifier.bias"
    first = student.get_parameter(name).detach().clone()
    labels, _ = labelling.served(student, target)
    with torch.no_grad():
        expected = labels_of(student(normalise(to_tensor(target.image_HWC)[None])), target.labels_HW.shape)[0]
    assert torch.equal(labels, expected)
    moved(student, 1.0)
    torch.testing.assert_close(labelling.teacher(student).get_parameter(name).detach(), first + 0.5)


def test_the_teacher_of_its_own_goes_on_from_its_state() -> None:
    student = make_student()
    given = replace(materials(student), is_averaged=False)
    labelling, other = Labelling(given), Labelling(given)
    for _ in range(3):
        moved(student, 0.1)
        labelling.teacher(student)
    other.load_state(labelling.state())
    moved(student, 0.1)
    one, same = labelling.teacher(student), other.teacher(student)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    with pytest.raises(ValueError, match="not the state of a labelling"):
        other.load_state({})
