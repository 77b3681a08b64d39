"""The Fisher anchor: a quadratic with the right curvature, from the right gradients."""

import torch

from models.trainable import replica
from runtime.adaptation.fisher_anchor import FisherAnchor, fisher_diagonal
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, filled_replay, make_student, make_target


def test_the_diagonal_is_the_squared_gradient_towards_the_models_own_answer() -> None:
    """d CE / d score = p - onehot, the same for every pixel and every image."""
    model = Listening()
    with torch.no_grad():
        model.scores_K.copy_(torch.tensor([0.0, 2.0, 1.0, -1.0]))
    images_BHWC, _ = filled_replay(3).gather(torch.arange(3))
    diagonal = fisher_diagonal(model, images_BHWC)
    expected = (model.scores_K.detach().softmax(dim=0) - torch.eye(NUM_CLASSES)[1]).square()
    assert diagonal.keys() == {"scores_K"}
    torch.testing.assert_close(diagonal["scores_K"], expected)


def test_it_is_the_mean_over_images_one_by_one() -> None:
    model = make_student("norm", sureness=20.0)
    images_BHWC, _ = filled_replay(2).gather(torch.arange(2))
    single = [fisher_diagonal(model, images_BHWC[n : n + 1]) for n in range(2)]
    for name, square in fisher_diagonal(model, images_BHWC).items():
        torch.testing.assert_close(square, (single[0][name] + single[1][name]) / 2)
    assert float(single[0]["head.bn.bias"].max()) > 0


def test_measuring_leaves_the_model_bit_for_bit_as_it_was() -> None:
    model = make_student("norm")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images_BHWC, _ = filled_replay(2).gather(torch.arange(2))
    names = fisher_diagonal(model, images_BHWC).keys()
    assert names == {name for name, p in model.named_parameters() if p.requires_grad}
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= {"head.bn.num_batches_tracked"}  # a counter without effect
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_penalty_is_a_quadratic_around_the_source() -> None:
    frozen = make_student("norm")
    student = replica(frozen)
    importance = {
        "head.bn.weight": torch.full_like(frozen.head.bn.weight, 0.5),
        "head.bn.bias": torch.linspace(0.0, 1.0, len(frozen.head.bn.bias)),
    }
    anchor = FisherAnchor(frozen, importance, strength=3.0)
    assert float(anchor.penalty(student).detach()) == 0.0
    with torch.no_grad():
        student.head.bn.weight.add_(0.2)
        student.head.bn.bias.sub_(0.1)
    penalty = anchor.penalty(student)
    num = len(frozen.head.bn.bias)
    torch.testing.assert_close(penalty, torch.tensor(3.0 * num * (0.5 * 0.2**2 + 0.5 * 0.1**2)))
    penalty.backward()
    torch.testing.assert_close(student.head.bn.bias.grad, 2 * 3.0 * importance["head.bn.bias"] * -0.1)
    assert all(p.grad is None for name, p in student.named_parameters() if name not in importance)
    assert float(anchor.loss(student, make_target()).detach()) == float(penalty.detach())
