"""DACS: its two terms against values worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from runtime.adaptation.dacs import DacsSelfTraining
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, filled_replay, make_student, make_target


def make_method(seed=0):
    return DacsSelfTraining(filled_replay(), device=torch.device("cpu"), generator=torch.Generator().manual_seed(seed))


def test_an_undecided_student_pays_the_entropy_of_a_guess_for_both_terms() -> None:
    """Equal scores cost ln K per pixel: source pixels weigh 1, pasted ones 1, the rest the confident share.

    Of the two classes of a source sample one is pasted, and either covers half of the picture.
    """
    for share in (0.0, 0.5, 1.0):
        loss = make_method().loss(Listening(), make_target(confident_share=share))
        assert float(loss.detach()) == pytest.approx(math.log(NUM_CLASSES) * (1 + 0.5 + 0.5 * share), rel=1e-5)


def test_the_student_sees_the_source_and_its_mixture_with_the_frame() -> None:
    student = Listening()
    make_method().loss(student, make_target())
    assert student.seen_B3HW.shape == (2, 3, 32, 64)
    source, mixed = student.seen_B3HW
    assert not torch.equal(source, mixed)
    assert float(mixed.mean()) < float(source.mean())  # half of it is the dark frame


def test_without_confidence_pseudo_labels_weigh_nothing() -> None:
    """Gradients do not depend on what the frame was taken for when nothing in it is sure."""
    gradients = []
    for taken_for in (2, 3):
        target = make_target(confident_share=0.0)
        target.labels_HW[:] = taken_for
        student = Listening()
        make_method().loss(student, target).backward()
        gradients.append(student.scores_K.grad)
    assert torch.equal(*gradients)


def test_confident_pseudo_labels_are_learnt() -> None:
    student = Listening()
    make_method().loss(student, make_target(confident_share=1.0)).backward()
    # d loss / d score_k = sum of pixel weights x (probability - label): class 2 is half of the mixed picture or more.
    assert float(student.scores_K.grad[2]) < 0.25 + 0.25 - 0.45


def test_draws_follow_the_generator() -> None:
    losses = [float(make_method(seed).loss(make_student(), make_target()).detach()) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_a_frame_of_ignored_labels_only_is_survived() -> None:
    target = make_target()
    target.labels_HW[:] = 255
    assert np.isfinite(float(make_method().loss(make_student(), target).detach()))


def test_a_frame_in_haste_is_mixed_in_smaller_crops() -> None:
    student = Listening()
    loss = make_method().loss(student, replace(make_target(), crop_share=0.5))
    assert student.seen_B3HW.shape == (2, 3, 32, 32)
    assert float(loss.detach()) == pytest.approx(math.log(NUM_CLASSES) * 1.75, rel=1e-5)  # as for whole frames
