"""Core and boundary: prototypes are means of the core, and both losses are met."""

import pytest
import torch

from models.preprocess import normalise, to_tensor
from runtime.adaptation.core_boundary import CoreBoundary
from tests.runtime.adaptation.samples import make_student, make_target, materials


def sure_student(odds=40.0):
    """Answers class 2 everywhere, very sure of it."""
    student = make_student()
    with torch.no_grad():
        student.head.classifier.bias[2] = odds
    return student


def embedding_of(student, target):
    with torch.no_grad():
        return student.head.embed(student.encoder(normalise(to_tensor(target.image_HWC)[None])))


def test_the_prototype_is_the_mean_of_the_core_and_core_pixels_pay_their_distance() -> None:
    student, target = sure_student(), make_target()
    term = CoreBoundary(materials(student), weight=0.5)
    loss = term.loss(student, target)
    rows = embedding_of(student, target).permute(0, 2, 3, 1).flatten(0, 2)
    mean = rows.mean(dim=0)
    torch.testing.assert_close(term.state()["prototypes"][2], mean)
    assert term.state()["is_known"].tolist() == [False, False, True, False]
    expected = 0.5 * (rows - mean).square().sum(dim=1).mean() / mean.square().sum()
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-4, atol=1e-6)


def test_without_a_core_nothing_is_known_and_nothing_is_paid() -> None:
    student = sure_student(0.0)
    loss = CoreBoundary(materials(student)).loss(student, make_target())
    loss.backward()
    assert float(loss.detach()) == 0.0


def test_doubtful_pixels_are_turned_once_a_prototype_is_known() -> None:
    student, target = sure_student(), make_target()
    term = CoreBoundary(materials(student), weight=1.0)
    term.loss(student, target)
    doubtful = sure_student(1.0)  # still class 2, but less than 0.9 sure
    other = CoreBoundary(materials(doubtful), weight=1.0)
    other.load_state(term.state())
    loss = other.loss(doubtful, target)
    rows = embedding_of(doubtful, target).permute(0, 2, 3, 1).flatten(0, 2)
    prototype = term.state()["prototypes"][2]
    expected = (1 - torch.cosine_similarity(rows, prototype[None], dim=1)).mean()
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(other.state()["prototypes"], term.state()["prototypes"])


def test_prototypes_move_by_a_hundredth() -> None:
    student, target = sure_student(), make_target()
    term = CoreBoundary(materials(student))
    state = term.state()
    state["prototypes"][2] = 1.0
    state["is_known"][2] = True
    term.load_state(state)
    term.loss(student, target)
    mean = embedding_of(student, target).mean(dim=(0, 2, 3))
    torch.testing.assert_close(term.state()["prototypes"][2], 0.99 + 0.01 * mean)
    with pytest.raises(ValueError, match="not the state of core and boundary"):
        term.load_state({})
