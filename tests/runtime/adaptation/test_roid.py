"""ROID: which pixels weigh how much, what the loss is at known answers, and what settling does."""

import math

import pytest
import torch

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, set_trainable
from runtime.adaptation.method import Target
from runtime.adaptation.methods import METHODS
from runtime.adaptation.roid import RoidSelfTraining, pixel_weights
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, make_student, make_target, materials

EVEN = torch.ones(NUM_CLASSES)


@pytest.fixture
def student() -> SegmentationModel:
    model = make_student()
    set_trainable(model, "norm")
    return model


def log_p(*answers: tuple[float, ...]) -> torch.Tensor:
    """(1, K, 1, n)"""
    return torch.tensor(answers).T[None, :, None, :].log()


def test_weights_by_hand() -> None:
    """Of three answers the one like the mean is left out; the others weigh by diversity times certainty."""
    sure, unsure, common = (0.05, 0.95), (0.5, 0.5), (0.9, 0.1)
    mean_K = torch.tensor(common)
    weights = pixel_weights(log_p(sure, unsure, common), mean_K, temperature=1 / 3)[0, 0]

    def cosine(p: tuple[float, float]) -> float:
        return (p[0] * 0.9 + p[1] * 0.1) / (math.hypot(*p) * math.hypot(0.9, 0.1))

    def entropy(p: tuple[float, float]) -> float:
        return -sum(x * math.log(x) for x in p)

    diversity = (1 - cosine(unsure)) / (1 - cosine(sure))
    assert diversity < (1 + diversity) / 3  # below the mean, so the unsure one is left out too
    assert weights.tolist() == [pytest.approx(math.exp(3.0), rel=1e-4), 0.0, 0.0]
    weights = pixel_weights(log_p(sure, unsure, common), torch.tensor([0.99, 0.01]), temperature=1 / 3)[0, 0]
    assert float(weights[0]) == pytest.approx(math.exp(3.0), rel=1e-4) and float(weights[2]) == 0.0
    even_mean = torch.tensor([1.0, 1.0])
    weights = pixel_weights(log_p(sure, unsure, common), even_mean, temperature=0.5)[0, 0]
    spread = [entropy(p) for p in (sure, unsure, common)]
    certainty = (max(spread) - spread[2]) / (max(spread) - min(spread))
    cosines = [sum(p) / (math.sqrt(2) * math.hypot(*p)) for p in (sure, unsure, common)]
    diversity = (1 - cosines[2]) / (1 - cosines[0])
    assert weights.tolist() == [
        pytest.approx(math.exp(2.0), rel=1e-4),
        0.0,  # as diverse as the mean: not at all
        pytest.approx(math.exp(diversity * certainty * 2), rel=1e-4),
    ]


def test_equal_answers_weigh_one() -> None:
    weights = pixel_weights(log_p((0.7, 0.3), (0.7, 0.3)), torch.tensor([0.5, 0.5]), temperature=1 / 3)
    assert torch.equal(weights, torch.ones(1, 1, 2))


def test_an_undecided_student_pays_a_ratio_and_an_entropy() -> None:
    """Equal scores: weight 1 at every pixel, likelihood ratio log(K - 1), symmetric cross-entropy log K."""
    given = materials(make_student())
    listening = Listening()
    listening.adaptable_names = ()
    loss = RoidSelfTraining(given, EVEN).loss(listening, make_target())
    assert float(loss.detach()) == pytest.approx(math.log(NUM_CLASSES - 1) + math.log(NUM_CLASSES), rel=1e-3)


def test_the_second_look_is_at_another_view(student: SegmentationModel) -> None:
    listening, target = Listening(), make_target()
    listening.adaptable_names = ()
    RoidSelfTraining(materials(student), EVEN).loss(listening, target)
    plain = normalise(to_tensor(target.image_HWC)[None])
    assert listening.seen_B3HW.shape == plain.shape and not torch.allclose(listening.seen_B3HW, plain, atol=1e-2)


def test_the_mean_answer_moves_by_a_tenth(student: SegmentationModel) -> None:
    method, target = RoidSelfTraining(materials(student), EVEN), make_target()
    with torch.no_grad():
        mean_K = student(normalise(to_tensor(target.image_HWC)[None])).softmax(dim=1).mean(dim=(0, 2, 3))
    method.loss(student, target)
    assert torch.allclose(method.state()["mean"], 0.9 * 0.25 + 0.1 * mean_K, atol=1e-6)


def test_settling_pulls_to_the_source_and_corrects_the_prior(student: SegmentationModel) -> None:
    given = materials(student)
    source = {name: tensor.clone() for name, tensor in adaptable_tensors(given.frozen).items()}
    method = RoidSelfTraining(given, torch.tensor([1.0, 1.0, 1.0, 97.0]))
    method.loss(student, make_target())
    moved = "encoder.stages.0.norm.weight"
    with torch.no_grad():
        student.get_parameter(moved).add_(1.0)
    method.settle(student)
    live = adaptable_tensors(student)
    assert torch.allclose(live[moved], source[moved] + 0.99)
    shift_K = live["head.classifier.bias"] - source["head.classifier.bias"]
    assert float(shift_K[3]) == float(shift_K.min()) < -0.3  # class 3 is rarer in the answers than in the source
    unmoved = [name for name in source if name not in (moved, "head.classifier.bias")]
    assert all(torch.equal(live[name], source[name]) for name in unmoved)


def test_the_correction_is_no_part_of_what_is_learnt() -> None:
    """After a settled step the loss is that of a student without correction."""

    def second_loss(source_K: torch.Tensor) -> float:
        model = make_student()
        set_trainable(model, "norm")
        method = RoidSelfTraining(materials(model), source_K)
        for _ in range(2):
            loss = method.loss(model, make_target())
            method.settle(model)
        return float(loss.detach())

    assert second_loss(EVEN) == second_loss(torch.tensor([1.0, 1.0, 1.0, 97.0]))


def test_draws_follow_the_generator_and_state_holds_the_rest(student: SegmentationModel) -> None:
    def losses(target: Target, *, seed: int, num: int) -> list[float]:
        method = RoidSelfTraining(materials(student, seed=seed), EVEN)
        return [float(method.loss(student, target).detach()) for _ in range(num)]

    assert losses(make_target(), seed=0, num=2) == losses(make_target(), seed=0, num=2)
    assert losses(make_target(), seed=0, num=1) != losses(make_target(), seed=1, num=1)
    given = materials(student)
    first = RoidSelfTraining(given, EVEN)
    first.loss(student, make_target())
    chance, state = given.generator.get_state(), first.state()
    expected = first.loss(student, make_target())
    second = RoidSelfTraining(given, EVEN)
    second.load_state(state)
    given.generator.set_state(chance)
    assert torch.equal(second.loss(student, make_target()), expected)
    with pytest.raises(ValueError, match="ROID"):
        second.load_state({})


def test_published_settings_are_the_defaults() -> None:
    entry = METHODS["roid"]
    assert entry.track == "source-free"
    recipe = entry.recipe
    assert (recipe.trainable, recipe.optimizer, recipe.learning_rate) == ("norm", "nesterov", 2.5e-4)
    assert recipe.max_gradient_norm == math.inf
    assert (recipe.ema_decay, recipe.policy) == (0.0, "bare")
