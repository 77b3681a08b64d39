"""Target-styled replay: true labels, one sample in the look of the frame and, every other time, one in its own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.preprocess import normalise
from runtime.adaptation.styled import StyledReplay
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, filled_replay, make_student, make_target


def make_method(*, only_class=None, **options):
    replay = filled_replay(only_class=only_class)
    return StyledReplay(replay, device=torch.device("cpu"), generator=torch.Generator().manual_seed(0), **options)


def grey_levels(x_3HW: torch.Tensor) -> torch.Tensor:
    """Undo the normalisation: mean grey level of the picture, 0 to 255."""
    black, white = (normalise(torch.full((1, 1, 1, 3), level, dtype=torch.uint8))[0] for level in (0, 255))
    return ((x_3HW - black) / (white - black)).mean() * 255


def test_an_undecided_student_pays_the_entropy_of_a_guess() -> None:
    loss = make_method().loss(Listening(), make_target())
    assert float(loss.detach()) == pytest.approx(math.log(NUM_CLASSES), rel=1e-5)


def test_the_first_sample_looks_like_the_frame_and_the_other_like_itself() -> None:
    student = Listening()
    make_method().loss(student, make_target())
    assert student.seen_B3HW.shape == (2, 3, 32, 64)
    levels = [float(grey_levels(x_3HW)) for x_3HW in student.seen_B3HW]
    assert levels == pytest.approx([29.5, 129.5], abs=3)


def test_every_other_loss_has_a_clean_sample_and_a_resumed_method_knows_which() -> None:
    student, method = Listening(), make_method()
    sizes = []
    for _ in range(5):
        method.loss(student, make_target())
        sizes.append(len(student.seen_B3HW))
    assert sizes == [2, 1, 2, 1, 2]
    resumed = make_method()
    resumed.load_state(method.state())
    resumed.loss(student, make_target())
    assert len(student.seen_B3HW) == 1


def test_what_the_frame_was_taken_for_is_not_learnt() -> None:
    """Pseudo-labels and confidence change neither loss nor gradient."""
    results = []
    for taken_for, share in ((2, 0.0), (3, 1.0)):
        target = make_target(confident_share=share)
        target.labels_HW[:] = taken_for
        student = Listening()
        loss = make_method().loss(student, target)
        loss.backward()
        results.append((float(loss.detach()), student.scores_K.grad.tolist()))
    assert results[0] == results[1]


def test_gradients_are_those_of_the_true_labels() -> None:
    """All is class 1, whatever the frame was taken for: d loss / d score_k = 1/K - [k = 1]."""
    student = Listening()
    make_method(only_class=1).loss(student, make_target(confident_share=1.0)).backward()
    assert student.scores_K.grad.tolist() == pytest.approx([0.25, -0.75, 0.25, 0.25], abs=1e-6)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_frames_give_finite_losses(level) -> None:
    target = make_target(image_HWC=np.full((32, 64, 3), level, np.uint8))
    assert math.isfinite(float(make_method().loss(make_student(), target).detach()))


def test_a_frame_in_haste_shows_the_student_smaller_crops() -> None:
    student = Listening()
    make_method().loss(student, replace(make_target(), crop_share=0.5))
    assert student.seen_B3HW.shape == (2, 3, 32, 32)
