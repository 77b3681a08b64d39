"""The methods there are, by name, each building what the learner can use."""

import math

import pytest
import torch

from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import HEAD_STAGE, adaptable_tensors, frozen_digest, replica, set_trainable, stage_of
from replay.buffer import ReplayBuffer
from runtime.adaptation import fisher_anchor, sar
from runtime.adaptation.descent import build_descent
from runtime.adaptation.entropy_filter import EntropyFilter
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials, Target
from runtime.adaptation.methods import METHODS
from runtime.config import AdaptationConfig
from runtime.optimizers import build_optimizer
from runtime.state import flatten, unflatten
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target, materials

LEARNING = [name for name, entry in METHODS.items() if entry.build is not None]
PACED = {"hamlet", "hamlet_released"}  # rest until they have seen a change: they have tests of their own
OF_NORMS = ["bn", "tent", "eata", "sar"]


def student_of(name: str) -> SegmentationModel:
    """One that learns norms where the method is about them, sure enough for filters of entropy to pass something."""
    return make_student("norm", sureness=50.0) if name in OF_NORMS else make_student()


def test_the_names_are_these_and_the_default_is_one() -> None:
    names = ["rotta", "roid", "cotta", "cotta14", "hamlet", "hamlet_released", "onda", "frozen"]
    assert list(METHODS) == ["styled", "dacs", *OF_NORMS, *names]
    assert AdaptationConfig().method in METHODS and METHODS["frozen"].build is None
    assert all(entry.summary and "\n" not in entry.summary for entry in METHODS.values())


@pytest.mark.parametrize("name", [name for name in LEARNING if name not in PACED | {"bn"}])  # bn descends nothing
def test_every_method_gives_a_loss_that_trains_and_repeats(name) -> None:
    def one_loss() -> tuple[float, list[torch.Tensor]]:
        student = student_of(name)
        method = METHODS[name].build(materials(student))
        loss = method.loss(student, make_target())
        assert loss.shape == () and bool(torch.isfinite(loss)) and float(loss.detach()) > 0
        loss.backward()
        resting = sar.FIRST_RESTING if name == "sar" else HEAD_STAGE + 1
        moves = {n: p.requires_grad and stage_of(student, n) < resting for n, p in student.named_parameters()}
        learning = [p for n, p in student.named_parameters() if moves[n]]
        frozen = [p for n, p in student.named_parameters() if not moves[n]]
        assert learning and all(parameter.grad is not None for parameter in learning)
        assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in learning)
        assert frozen and all(parameter.grad is None for parameter in frozen)
        return float(loss.detach()), [parameter.grad for parameter in learning]

    (first, first_grads), (again, again_grads) = one_loss(), one_loss()
    assert first == again
    assert all(torch.equal(a, b) for a, b in zip(first_grads, again_grads, strict=True))
    assert any(float(gradient.abs().max()) > 0 for gradient in first_grads)


@pytest.mark.parametrize("name", LEARNING)
def test_losses_write_into_nothing_they_are_given(name) -> None:
    target = make_target()
    image, labels = target.image_HWC.copy(), target.labels_HW.copy()
    replay = filled_replay()
    held = [tensor.clone() for tensor in replay.gather(torch.arange(len(replay)))]
    student = student_of(name)
    METHODS[name].build(materials(student, replay=replay)).loss(student, target)
    assert (target.image_HWC == image).all() and (target.labels_HW == labels).all()
    assert all(torch.equal(a, b) for a, b in zip(held, replay.gather(torch.arange(len(replay))), strict=True))


def test_a_target_carries_no_truth() -> None:
    assert set(Target.__slots__) == {
        "frame_index",
        "image_HWC",
        "labels_HW",
        "confident_share",
        "crop_share",
        "appearance_F",
    }


def learner_of(
    name: str, student: SegmentationModel | None = None
) -> tuple[Learner, torch.Generator, ReplayBuffer, SegmentationModel]:
    """A learner of the method by its own recipe, its chance, its replay, and the model of its average."""
    entry = METHODS[name]
    assert entry.build is not None
    if student is None:
        student = student_of(name)
        set_trainable(student, entry.recipe.trainable)
    candidate = candidate_of(student, VersionedWeights(adaptable_tensors(student)), max_drift=math.inf)
    chance, replay = torch.Generator().manual_seed(0), filled_replay()
    given = Materials(replay, replica(student), candidate.model, torch.device("cpu"), chance)
    learner = Learner(
        student,
        entry.build(given),
        candidate,
        build_descent(entry.recipe, student, learning_rate=entry.recipe.learning_rate),
        ema_decay=entry.recipe.ema_decay,
        clock=lambda: 0.0,
    )
    return learner, chance, replay, candidate.model


@pytest.mark.parametrize("name", [name for name in LEARNING if name not in PACED])
def test_learning_goes_on_from_its_state_bit_for_bit(name: str) -> None:
    first, chance, replay, served = learner_of(name)
    for _ in range(2):
        assert first.learn(make_target())[0].outcome == "applied"
    drawn, held, state = chance.get_state(), replay.state(), unflatten(*flatten(first.state()))
    second, other_chance, other_replay, other_served = learner_of(name)
    second.load_state(state)
    other_chance.set_state(drawn)
    other_replay.load_state(held)
    for _ in range(2):
        one, other = first.learn(make_target())[0], second.learn(make_target())[0]
        assert (one.outcome, one.loss) == (other.outcome, other.loss) == ("applied", other.loss)
    learnt, again = adaptable_tensors(served), adaptable_tensors(other_served)
    assert all(torch.equal(tensor, again[key]) for key, tensor in learnt.items())


@pytest.mark.parametrize("name", OF_NORMS[1:])
def test_methods_of_norms_run_in_any_mode_and_leave_frozen_statistics_alone(name: str) -> None:
    for trainable in ("norm", "head"):
        student = make_student(trainable, sureness=50.0)
        digest = frozen_digest(student)
        learner, *_ = learner_of(name, student)
        assert learner.learn(make_target())[0].outcome == "applied"
        assert frozen_digest(student) == digest


SGD_0_9 = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, "nesterov": False}
ADAM = {"lr": 7.5e-6, "betas": (0.9, 0.999), "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("name", "kind", "settings", "frames_share"),
    [
        # nothing descends; momentum 0.1 is torch's own in training mode ("norm_ema", mariodoebler/test-time-adaptation)
        ("bn", torch.optim.SGD, SGD_0_9, 0.1),
        # arXiv 2006.10726, section 3: statistics of the batch; rate 6e-5 / 8 of the code to CoTTA's Cityscapes to ACDC
        ("tent", torch.optim.Adam, ADAM, 1.0),
        # github.com/mr-eggplant/EATA: SGD 0.9; its successor SAR, arXiv 2302.12400, has 1e-3 for transformers, batch 64
        ("eata", torch.optim.SGD, SGD_0_9, 1.0),
        # github.com/mr-eggplant/SAR and arXiv 2302.12400, appendix: SGD 0.9, 1e-3 for transformers at batch 64
        ("sar", torch.optim.SGD, SGD_0_9, 1.0),
    ],
)
def test_methods_of_norms_come_as_published(name: str, kind: type, settings: dict, frames_share: float) -> None:
    """Affine parameters of norms, nothing averaged, clipped or held back; a frame's share in a batch norm's statistics
    is what torch makes of that momentum.
    """
    recipe = METHODS[name].recipe
    assert (recipe.trainable, recipe.policy, recipe.ema_decay) == ("norm", "bare", 0.0)
    assert (recipe.max_gradient_norm, recipe.head_rate, recipe.fresh_descents) == (math.inf, 1.0, 1)
    student, twin = student_of(name), student_of(name)
    (group,) = build_optimizer(recipe, student, learning_rate=recipe.learning_rate).param_groups
    assert isinstance(build_optimizer(recipe, student, learning_rate=1.0), kind)
    assert {key: group[key] for key in settings} == settings
    learner, *_ = learner_of(name, student)
    assert learner.learn(make_target())[0].outcome == "applied"
    norm = twin.head.bn.train()
    norm.momentum = frames_share
    twin(normalise(to_tensor(make_target().image_HWC)[None]))
    assert torch.allclose(student.head.bn.running_mean, norm.running_mean, atol=1e-5)
    assert torch.allclose(student.head.bn.running_var, norm.running_var, rtol=1e-4)


def test_filters_and_anchors_of_norm_methods_have_their_published_numbers() -> None:
    """EATA, arXiv 2204.02610: 0.4 ln K, 2000. SAR, arXiv 2302.12400: 0.4 ln K, rho 0.05, reset below 0.2 of ln 1000."""
    assert EntropyFilter.of_classes(1000).margin == pytest.approx(0.4 * math.log(1000))
    assert (fisher_anchor.STRENGTH, sar.RHO) == (2000.0, 0.05)
    assert sar.COLLAPSED * math.log(1000) == pytest.approx(0.2)
