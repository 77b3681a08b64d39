"""The step of DACS and HAMLET: its terms against values worked out by hand, its crops, weights and graphs."""

import math

import numpy as np
import pytest
import torch

from models.mit import DropPath
from models.trainable import replica, set_trainable
from models.zoo import build_model
from replay.buffer import ReplayBuffer
from runtime.adaptation.mean_teacher import MeanTeacher
from runtime.adaptation.method import Target
from runtime.adaptation.self_training import MixRule, SelfTraining
from tests.runtime.adaptation.samples import NUM_CLASSES, SIZE_HW, filled_replay, make_student, make_target, materials


def biased(student, *, certain_of=None):
    """Answers every pixel alike: undecided between all classes, or sure of one."""
    with torch.no_grad():
        student.head.classifier.weight.zero_()
        student.head.classifier.bias.zero_()
        if certain_of is not None:
            student.head.classifier.bias[certain_of] = 20.0
    return student


def losses_of(student, *, rule=None, target=None, ratio=0.5, replay=None, seed=0):
    given = materials(student, replay=replay, seed=seed)
    training = SelfTraining(given, MeanTeacher(given.frozen), rule=rule or MixRule())
    return training.losses(student, target or make_target(), ratio=ratio)


def shown_to(student, target, replay=None, rule=None):
    """Images the student's encoder was shown in one step, in order."""
    given = materials(student, replay=replay)
    training = SelfTraining(given, MeanTeacher(given.frozen), rule=rule or MixRule())
    images = []
    with student.encoder.register_forward_pre_hook(lambda _, shown: images.append(shown[0])):
        training.losses(student, target)
    return images


def test_an_undecided_student_pays_the_entropy_of_a_guess_where_weights_are() -> None:
    """Unsure of everything, the teacher's labels weigh nothing: half of the mixture is pasted and costs ln K."""
    losses = losses_of(biased(make_student()))
    assert float(losses.source.detach()) == pytest.approx(math.log(NUM_CLASSES), rel=1e-5)
    assert float(losses.mixed.detach()) == pytest.approx(math.log(NUM_CLASSES) / 2, rel=1e-5)
    assert float(losses.features) == 0.0
    assert float(losses.total.detach()) == pytest.approx(1.5 * math.log(NUM_CLASSES), rel=1e-5)


def test_a_sure_teacher_is_agreed_with_at_full_weight() -> None:
    """The student is as sure of class 2 as its teacher: the frame's half of the mixture costs nothing at weight 1.

    All pasted pixels are of class 0, so they cost 20 each, and so does the source.
    """
    losses = losses_of(biased(make_student(), certain_of=2), replay=filled_replay(only_class=0))
    assert float(losses.source.detach()) == pytest.approx(20.0, rel=1e-4)
    assert float(losses.mixed.detach()) == pytest.approx(20.0, rel=1e-4)  # its one class is pasted whole
    nothing = losses_of(biased(make_student(), certain_of=2), replay=filled_replay(only_class=0), ratio=0.0)
    assert float(nothing.mixed.detach()) == pytest.approx(0.0, abs=1e-4)


def test_the_ratio_says_how_many_classes_are_pasted() -> None:
    """Two classes of equal size: none, one or both of them cost ln K."""
    for ratio, share in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        losses = losses_of(biased(make_student()), ratio=ratio)
        assert float(losses.mixed.detach()) == pytest.approx(share * math.log(NUM_CLASSES), abs=1e-5)


def test_margins_take_the_weight_of_rows_at_top_and_bottom() -> None:
    """A teacher sure of class 2 against a student that, a step later, is undecided: rows that count cost ln K."""
    for margins, share in (((0.0, 0.0), 1.0), ((0.25, 0.0), 0.75), ((0.125, 0.5), 0.375)):
        student = make_student()
        given = materials(student)
        teacher = MeanTeacher(biased(given.frozen, certain_of=2), decay=0.999)
        teacher.load_state({**teacher.state(), "num_steps": 10**6})  # late: it hardly follows any more
        training = SelfTraining(given, teacher, rule=MixRule(margins=margins))
        losses = training.losses(biased(student), make_target(), ratio=0.0)
        assert float(losses.mixed.detach()) == pytest.approx(share * math.log(NUM_CLASSES), rel=1e-4)


def test_source_and_mixture_are_shown_as_square_crops_one_after_the_other() -> None:
    source, mixed = shown_to(make_student(), make_target())
    assert source.shape == mixed.shape == (1, 3, 32, 32)  # of 32x64
    assert not torch.equal(source, mixed)


def test_whole_frames_are_shown_where_the_rule_says_so() -> None:
    images = shown_to(make_student(), make_target(), rule=MixRule(is_whole=True))
    assert [tuple(image.shape[2:]) for image in images] == [(32, 64)] * 2


def test_a_frame_in_haste_is_shown_in_smaller_crops() -> None:
    generator = torch.Generator().manual_seed(0)
    replay = ReplayBuffer((96, 96), capacity_bytes=2**20, generator=generator, num_classes=NUM_CLASSES)
    image_HWC, label_HW = np.zeros((96, 96, 3), np.uint8), np.zeros((96, 96), np.uint8)
    replay.add(image_HWC, label_HW)
    images = shown_to(make_student(), Target(0, image_HWC, label_HW, 1.0, crop_share=2 / 3), replay)
    assert [tuple(image.shape[2:]) for image in images] == [(64, 64)] * 2


def test_released_losses_are_at_full_size_and_over_all_pixels() -> None:
    """Half of the source is ignored: ln K over the labelled half, or ln K / 2 over all of it."""
    replay = filled_replay()
    labels_NHW = replay._labels_NHW  # the buffer's own storage
    labels_NHW[:, : SIZE_HW[0] // 2] = 255
    for is_released, expected in ((False, 1.0), (True, 0.5)):
        losses = losses_of(biased(make_student()), rule=MixRule(is_released=is_released), replay=replay)
        assert float(losses.source.detach()) == pytest.approx(expected * math.log(NUM_CLASSES), rel=1e-5)


def test_features_of_things_are_held_to_the_frozen_encoders() -> None:
    """Nothing but cars is shown; a norm that adds 2 to each of n features puts them 2 sqrt(n) from the frozen ones.

    Dropped paths would move them too: there are none.
    """
    torch.manual_seed(0)
    student = build_model("segformer_b0", num_classes=19).eval()
    for module in student.modules():
        if isinstance(module, DropPath):
            module.rate = 0.0
    set_trainable(student, "full")
    for shown, weight, expected in ((13, 0.005, 0.005 * 2 * 16), (2, 0.005, 0.0), (13, 0.0, 0.0)):
        given = materials(student, replay=filled_replay(only_class=shown))
        training = SelfTraining(given, MeanTeacher(given.frozen), rule=MixRule(feature_weight=weight))
        moved = replica(student)
        with torch.no_grad():
            moved.encoder.stages[3].norm.bias.add_(2.0)  # 256 channels
        assert float(training.losses(moved, make_target()).features.detach()) == pytest.approx(expected, rel=1e-4)


def test_only_what_learns_gets_gradients_and_the_teacher_none() -> None:
    student = make_student()
    set_trainable(student, "full")
    losses_of(student, rule=MixRule(feature_weight=0.005, distortion=1.0)).total.backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert not any(module.training for module in student.modules())


def test_draws_follow_the_generator() -> None:
    values = [float(losses_of(make_student(), seed=seed).total.detach()) for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_a_frame_of_ignored_labels_only_is_survived() -> None:
    target = make_target()
    target.labels_HW[:] = 255
    assert math.isfinite(float(losses_of(make_student(), target=target).total.detach()))


def test_margins_must_leave_rows() -> None:
    with pytest.raises(ValueError, match="leave some rows"):
        MixRule(margins=(0.5, 0.5))
