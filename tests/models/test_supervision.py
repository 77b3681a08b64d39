"""The loss of several answers: each against the labels where it stands, weighed and summed."""

import math

import torch

from models.supervision import Supervised, supervised_loss

SURE = 50.0


def one_hot(labels_BHW, num_classes=3):
    return SURE * torch.nn.functional.one_hot(labels_BHW, num_classes).permute(0, 3, 1, 2).float()


def quarters():
    """8x8 labels whose quarters are 0, 1, 2, 0."""
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :4, 4:], labels[:, 4:, :4] = 1, 2
    return labels


def test_a_guess_costs_ln_k_times_its_weight() -> None:
    answers = [Supervised(torch.zeros(1, 3, 4, 4), 0.25), Supervised(torch.zeros(1, 3, 2, 2), 2.0)]
    torch.testing.assert_close(supervised_loss(answers, quarters()), torch.tensor(2.25 * math.log(3)))


def test_an_answer_for_a_part_is_held_against_that_part() -> None:
    """The right upper quarter, at half the labels' size, is all of class 1."""
    logits = one_hot(torch.ones(1, 2, 2, dtype=torch.long))
    right = Supervised(logits, grid_HW=(4, 4), corner=(0, 2))
    wrong = Supervised(logits, grid_HW=(4, 4), corner=(2, 2))
    assert supervised_loss([right], quarters()) < 1e-6
    torch.testing.assert_close(supervised_loss([wrong], quarters()), torch.tensor(SURE))


def test_pixels_without_a_label_count_for_nothing() -> None:
    labels = quarters()
    labels[:, :, :4] = 255
    logits = one_hot(torch.where(labels == 255, 0, labels)[:, ::2, ::2])
    assert supervised_loss([Supervised(logits)], labels) < 1e-6
    assert supervised_loss([Supervised(logits)], torch.full_like(labels, 255)) == 0
