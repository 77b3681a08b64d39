"""CoTTA: whose labels are learnt, what is restored and when, and that the teacher is the average."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.losses import cross_entropy
from models.preprocess import normalise, to_tensor
from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica, set_trainable, trainable_parameters
from runtime.adaptation.cotta import CottaSelfTraining
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Materials
from runtime.adaptation.methods import METHODS
from runtime.adaptation.multi_view import PUBLISHED_SCALES, look
from runtime.weights import VersionedWeights
from tests.runtime.adaptation.samples import candidate_of, filled_replay, make_student, make_target, materials


@pytest.fixture
def student() -> SegmentationModel:
    model = make_student()
    set_trainable(model, "full")
    return model


def test_one_view_learns_the_served_labels(student: SegmentationModel) -> None:
    """At the source restoring changes nothing, so the loss is plain cross-entropy to class 2 everywhere."""
    target = make_target()
    loss = CottaSelfTraining(materials(student)).loss(student, target)
    logits = student(normalise(to_tensor(target.image_HWC)[None]))
    assert float(loss.detach()) == pytest.approx(-float(logits.log_softmax(dim=1)[:, 2].mean().detach()), rel=1e-5)


class Sided(nn.Module):
    """Says 2 in the left half of whatever it is shown, mirrored or not, and less surely 3 in the right."""

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits = torch.zeros(1, 4, x_B3HW.shape[2] // 4, x_B3HW.shape[3] // 4)
        half = logits.shape[3] // 2
        logits[:, 2, :, :half] = 4.0
        logits[:, 3, :, half:] = 3.0
        return logits


class Doubtful(nn.Module):
    """Sure in the upper half, undecided in the lower."""

    def __init__(self, sureness: float) -> None:
        super().__init__()
        self.adaptable_names: tuple[str, ...] = ()
        self.score = math.log(sureness * 3 / (1 - sureness))

    def forward(self, x_B3HW: Tensor) -> Tensor:
        logits = torch.zeros(1, 4, x_B3HW.shape[2] // 4, x_B3HW.shape[3] // 4)
        logits[:, 1, : logits.shape[2] // 2] += self.score
        return logits


class Asked(nn.Module):
    """Learnt scores at every pixel: its gradient tells what it was asked to answer there."""

    def __init__(self) -> None:
        super().__init__()
        self.scores_BKhw = nn.Parameter(torch.zeros(1, 4, 8, 16))
        self.adaptable_names: tuple[str, ...] = ()

    def forward(self, _: Tensor) -> Tensor:
        return self.scores_BKhw


def asked_for(anchor_sureness: float) -> Tensor:
    """(8, 16) labels CoTTA teaches. The teacher's plain view says 2 | 3, the mirrored one brought back 3 | 2; as it is
    surer of 2, the mean says 2 everywhere.
    """
    chance = torch.Generator().manual_seed(0)
    given = Materials(filled_replay(), Doubtful(anchor_sureness), Sided(), torch.device("cpu"), chance)
    student = Asked()
    CottaSelfTraining(given, scales=(1.0,)).loss(student, make_target()).backward()
    gradient = student.scores_BKhw.grad
    assert gradient is not None
    return gradient[0].argmin(dim=0)


def test_views_are_averaged_only_where_the_source_model_is_unsure() -> None:
    labels_hw = asked_for(anchor_sureness=0.75)
    assert (labels_hw[:4, :8] == 2).all() and (labels_hw[:4, 8:] == 3).all()  # sure: the plain view
    assert (labels_hw[4:] == 2).all()  # not sure: the mean of all views
    assert (asked_for(anchor_sureness=0.65) == 2).all()


def test_fourteen_views_are_those_of_the_teacher(student: SegmentationModel) -> None:
    """Through `look`, itself tested against a plain loop; a never sure source model leaves all to the mean."""
    given, target = materials(student), make_target()
    loss = CottaSelfTraining(given, scales=PUBLISHED_SCALES, confidence=1.0).loss(student, target)
    x_B3HW = normalise(to_tensor(target.image_HWC)[None])
    labels = look(given.teacher, x_B3HW).mean_BKhw.argmax(dim=1)
    assert float(loss.detach()) == pytest.approx(float(cross_entropy(student(x_B3HW), labels).detach()), rel=1e-5)


def learner_of(student: SegmentationModel, *, restored_share: float) -> tuple[Learner, SegmentationModel]:
    """A learner of the method, and the model of its average."""
    candidate = candidate_of(student, VersionedWeights(adaptable_tensors(student)), max_drift=math.inf)
    given = Materials(
        filled_replay(), replica(student), candidate.model, torch.device("cpu"), torch.Generator().manual_seed(0)
    )
    learner = Learner(
        student,
        CottaSelfTraining(given, restored_share=restored_share),
        candidate,
        Descent(torch.optim.Adam(trainable_parameters(student), lr=1e-2)),
        ema_decay=0.999,
        clock=lambda: 0.0,
    )
    return learner, candidate.model


def copies(model: SegmentationModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in adaptable_tensors(model).items()}


def test_the_teacher_is_the_exponential_average_of_the_students(student: SegmentationModel) -> None:
    expected = copies(student)
    learner, teacher = learner_of(student, restored_share=0.01)
    for _ in range(4):
        assert learner.learn(make_target())[0].outcome == "applied"
        stepped = copies(student)
        expected = {name: 0.999 * tensor + 0.001 * stepped[name] for name, tensor in expected.items()}
    learnt = copies(teacher)
    assert all(torch.allclose(learnt[name], tensor, atol=1e-6) for name, tensor in expected.items())


def test_weights_are_restored_after_they_were_averaged(student: SegmentationModel) -> None:
    """With every weight restored the student starts each step from the source, and the teacher still moves."""
    source = copies(student)
    learner, teacher = learner_of(student, restored_share=1.0)
    losses = [learner.learn(make_target())[0].loss for _ in range(3)]
    assert losses[0] == losses[1] == losses[2]
    name = "head.linear_fuse.weight"
    assert not torch.equal(copies(teacher)[name], source[name])


def test_published_settings_are_the_defaults() -> None:
    for name in ("cotta", "cotta14"):
        entry = METHODS[name]
        assert entry.track == "source-free" and entry.recipe.trainable == "full"
        assert (entry.recipe.optimizer, entry.recipe.learning_rate) == ("adam", pytest.approx(6e-5 / 8))
        assert entry.recipe.max_gradient_norm == math.inf
        assert (entry.recipe.ema_decay, entry.recipe.policy) == (0.999, "bare")


def test_draws_follow_the_generator() -> None:
    def losses() -> list[float]:
        model = make_student()
        set_trainable(model, "full")
        learner, _ = learner_of(model, restored_share=0.3)
        return [learner.learn(make_target())[0].loss for _ in range(3)]

    assert losses() == losses()
