"""MIC: what the student sees, what it is held against, and at which weight."""

import math
from dataclasses import replace

import pytest

from runtime.adaptation.mic import MaskedConsistency
from tests.runtime.adaptation.samples import NUM_CLASSES, Listening, make_student, make_target, materials


def make_term(seed=0, **options):
    return MaskedConsistency(materials(make_student(), seed=seed), **options)


@pytest.mark.parametrize(("share", "weight"), [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (0.5, 3.0)])
def test_an_undecided_student_pays_a_guess_at_the_frames_confidence(share, weight) -> None:
    """Equal scores cost ln K at every pixel; the frame weighs its share of confident pixels, the term its own."""
    loss = make_term(weight=weight).loss(Listening(), make_target(confident_share=share))
    assert float(loss.detach()) == pytest.approx(weight * share * math.log(NUM_CLASSES), rel=1e-5)


def test_the_gradient_pulls_towards_what_was_served() -> None:
    """d loss / d score_k is the frame's weight times (probability - label): the target says class 2 everywhere."""
    student = Listening()
    make_term().loss(student, make_target(confident_share=0.8)).backward()
    assert student.scores_K.grad.tolist() == pytest.approx([0.2, 0.2, -0.6, 0.2], rel=1e-5)


def test_hidden_blocks_show_the_mean_colour_and_the_rest_the_frame() -> None:
    """At ratio 0 everything shows; the same seed at 0.7 differs by the hidden blocks alone, which are 0."""
    shown, hidden = Listening(), Listening()
    make_term(ratio=0.0).loss(shown, make_target())
    make_term().loss(hidden, make_target())
    blocks = (hidden.seen_B3HW == 0).all(dim=1).unfold(1, 4, 4).unfold(2, 4, 4).flatten(-2).all(dim=-1)
    assert 0.4 < float(blocks.float().mean()) < 0.95
    differs = (shown.seen_B3HW != hidden.seen_B3HW).any(dim=1)
    assert bool((hidden.seen_B3HW.permute(0, 2, 3, 1)[differs] == 0).all())


def test_a_frame_that_is_sure_of_nothing_teaches_nothing() -> None:
    student = Listening()
    make_term().loss(student, make_target(confident_share=0.0)).backward()
    assert not student.scores_K.grad.any()


def test_a_frame_in_haste_is_cropped() -> None:
    student = Listening()
    make_term().loss(student, replace(make_target(), crop_share=0.5))
    assert student.seen_B3HW.shape == (1, 3, 32, 32)


def test_a_real_student_learns_from_it_and_draws_follow_the_generator() -> None:
    losses = [make_term(seed).loss(make_student(), make_target()) for seed in (0, 0, 1)]
    assert float(losses[0].detach()) == float(losses[1].detach()) != float(losses[2].detach())
    assert losses[0].requires_grad


def test_the_frame_itself_is_left_alone() -> None:
    target = make_target()
    before = target.image_HWC.copy(), target.labels_HW.copy()
    make_term().loss(Listening(), target)
    assert (target.image_HWC == before[0]).all() and (target.labels_HW == before[1]).all()
