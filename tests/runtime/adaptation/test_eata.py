"""EATA: which pixels it keeps, what they weigh, and the pull to the source, worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.trainable import replica
from runtime.adaptation import eata
from runtime.adaptation.eata import Eata
from tests.runtime.adaptation.samples import Painted, filled_replay, make_student, make_target, nth_target

CPU = torch.device("cpu")
MARGIN = 0.4 * math.log(4)


def logits_of(*probabilities: tuple[float, ...]) -> Tensor:
    """One pixel beside the other, (1, K, 1, W)."""
    return torch.tensor(probabilities).log().T[None, :, None, :].contiguous()


def entropy_of(probabilities: tuple[float, ...]) -> float:
    return -sum(p * math.log(p) for p in probabilities)


SURE_OF_0 = (0.97, 0.01, 0.01, 0.01)
SURE_OF_1 = (0.02, 0.94, 0.02, 0.02)
UNSURE = (0.4, 0.3, 0.2, 0.1)


def method_of(logits_1KHW: Tensor, *, strength: float = 0.0) -> Eata:
    """Built from a model that answers so; without an anchor unless asked for."""
    return Eata(filled_replay(), frozen=Painted(logits_1KHW.clone()), device=CPU, fisher_strength=strength)


def test_sure_pixels_count_by_how_sure_they_are_and_unsure_ones_not_at_all() -> None:
    logits = logits_of(SURE_OF_0, SURE_OF_1, UNSURE)
    student = Painted(logits.clone())
    loss = method_of(logits).loss(student, make_target())
    entropies = [entropy_of(SURE_OF_0), entropy_of(SURE_OF_1)]
    assert entropy_of(UNSURE) > MARGIN > max(entropies)
    assert float(loss.detach()) == pytest.approx(sum(h * math.exp(MARGIN - h) for h in entropies) / 2, rel=1e-5)
    loss.backward()
    assert bool((student.logits_1KHW.grad[..., 2] == 0).all()) and bool((student.logits_1KHW.grad[..., :2] != 0).any())


def test_answers_like_the_mean_of_those_learnt_from_are_redundant() -> None:
    method = method_of(logits_of(SURE_OF_0))
    first = method.loss(Painted(logits_of(SURE_OF_0)), make_target())
    again = method.loss(Painted(logits_of(SURE_OF_0)), make_target())
    new = method.loss(Painted(logits_of(SURE_OF_0, SURE_OF_1)), make_target())
    assert first.requires_grad and not again.requires_grad and float(again) == 0.0
    h = entropy_of(SURE_OF_1)
    assert float(new.detach()) == pytest.approx(h * math.exp(MARGIN - h), rel=1e-5)


def test_the_running_mean_takes_a_tenth_of_what_was_learnt_from() -> None:
    method = method_of(logits_of(SURE_OF_0))
    method.loss(Painted(logits_of(SURE_OF_0, UNSURE)), make_target())
    torch.testing.assert_close(method.state()["mean"], torch.tensor(SURE_OF_0))
    method.loss(Painted(logits_of(SURE_OF_0, SURE_OF_1)), make_target())
    expected = 0.9 * torch.tensor(SURE_OF_0) + 0.1 * torch.tensor(SURE_OF_1)
    torch.testing.assert_close(method.state()["mean"], expected)


@pytest.mark.parametrize(("num_classes", "published"), [(1000, 0.05), (10, 0.4)])
def test_the_limit_is_near_both_published_ones(num_classes: int, published: float) -> None:
    assert eata.SIMILARITY / math.sqrt(num_classes) == pytest.approx(published, rel=0.26)


def test_the_anchor_pulls_by_fisher_information_of_the_source_answers() -> None:
    """One pixel, own answer 0: F = (p - onehot)^2, and the student is 0.1 away in one logit."""
    logits = logits_of(SURE_OF_0)
    method, student = method_of(logits, strength=2000.0), Painted(logits.clone())
    with torch.no_grad():
        student.logits_1KHW[0, 1] += 0.1
    loss, without = method.loss(student, make_target()), method_of(logits).loss(student, make_target())
    assert float((loss - without).detach()) == pytest.approx(2000 * 0.01**2 * 0.1**2, rel=1e-3)


class Shaded(nn.Module):
    """Answers by how dark a picture is, so that its Fisher information tells which pictures it was shown."""

    def __init__(self, scores_K: Tensor) -> None:
        super().__init__()
        self.scores_K = nn.Parameter(scores_K)
        self.num_classes = len(scores_K)
        self.adaptable_names: tuple[str, ...] = ()

    def forward(self, x_B3HW: Tensor) -> Tensor:
        return (self.scores_K[None, :, None, None] * (3.0 - x_B3HW.mean())).expand(1, -1, 8, 16)


def test_the_anchor_is_of_the_published_strength_and_of_32_pictures_of_the_source() -> None:
    frozen, student = Shaded(torch.tensor([1.0, 0.0, 0.0, 0.0])), Shaded(torch.tensor([1.0, 0.1, 0.0, 0.0]))
    losses = [
        float(Eata(filled_replay(num), frozen=frozen, device=CPU, **options).loss(student, make_target()).detach())
        for num, options in ((40, {}), (32, {"fisher_strength": 2000.0}), (31, {}))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_where_nothing_is_sure_the_frames_statistics_are_taken_over_all_the_same() -> None:
    student = make_student("norm")
    method, before = Eata(filled_replay(), frozen=replica(student), device=CPU), student.head.bn.running_mean.clone()
    loss = method.loss(student, make_target())
    assert not loss.requires_grad and float(loss) == 0.0
    assert not torch.equal(student.head.bn.running_mean, before)


def test_it_goes_on_from_its_state_and_from_no_other() -> None:
    student = make_student("norm", sureness=200.0)
    method, again = (Eata(filled_replay(), frozen=replica(student), device=CPU) for _ in range(2))
    method.loss(student, nth_target(0))
    again.load_state(method.state())
    target = replace(nth_target(1), frame_index=8)
    assert float(method.loss(student, target).detach()) == float(again.loss(student, target).detach()) > 0
    with pytest.raises(ValueError, match="not the state of EATA"):
        again.load_state({})
