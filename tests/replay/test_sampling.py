import math

import pytest
import torch

from replay.sampling import (
    RareClassSampler,
    UniformSampler,
    class_pixel_counts,
    min_pixels_at,
    rare_class_probabilities,
)


def test_probabilities_match_the_closed_form() -> None:
    counts = torch.tensor([700, 200, 100])
    weights = [math.exp((1 - f) / 0.5) for f in (0.7, 0.2, 0.1)]
    expected = [w / sum(weights) for w in weights]
    assert rare_class_probabilities(counts, temperature=0.5).tolist() == pytest.approx(expected, rel=1e-12)


def test_cityscapes_like_shares_leave_common_classes_at_zero_and_rare_ones_near_a_tenth() -> None:
    # Rounded Cityscapes pixel shares; DAFormer at T = 0.01 never draws for road and draws rarest classes about equally.
    shares = torch.tensor([369, 61, 228, 7, 9, 12, 2, 6, 159, 12, 40, 12, 1, 70, 3, 2, 2, 1, 4])
    p = rare_class_probabilities(shares * 1000)
    assert p[0] < 1e-12
    assert p[8] < 1e-5
    assert all(0.07 < float(p[k]) < 0.13 for k in (12, 15, 16, 17))


def test_classes_that_do_not_occur_are_never_drawn() -> None:
    p = rare_class_probabilities(torch.tensor([5, 0, 5, 0]))
    assert p.tolist() == [0.5, 0.0, 0.5, 0.0]


def test_infinite_temperature_is_uniform_over_the_classes_that_occur() -> None:
    p = rare_class_probabilities(torch.tensor([900, 99, 1, 0]), temperature=math.inf)
    assert p.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be positive"):
        rare_class_probabilities(torch.tensor([1, 2]), temperature=temperature)


def test_no_labelled_pixel_is_an_error() -> None:
    with pytest.raises(ValueError, match="no labelled pixel"):
        rare_class_probabilities(torch.zeros(19, dtype=torch.int64))


def test_counting_leaves_out_ignored_pixels() -> None:
    label = torch.tensor([[0, 1, 1], [255, 18, 255]], dtype=torch.uint8)
    counts = class_pixel_counts(label, 19)
    assert counts.shape == (19,)
    assert (int(counts[0]), int(counts[1]), int(counts[18]), int(counts.sum())) == (1, 2, 1, 4)


def test_min_pixels_scale_with_the_image() -> None:
    assert min_pixels_at((1024, 2048)) == 3000
    assert min_pixels_at((256, 512)) == 188
    assert min_pixels_at((1, 1)) == 1


def test_a_draw_serves_the_class_it_was_made_for() -> None:
    counts = torch.tensor([[1000, 0, 3], [1000, 50, 0], [1000, 60, 9]])
    sampler = RareClassSampler(counts, min_pixels=10)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        draw = sampler.draw(generator)
        assert draw.wanted_class is not None
        assert counts[draw.index, draw.wanted_class] >= 10


def test_class_frequencies_of_draws_follow_the_probabilities() -> None:
    counts = torch.tensor([[70, 0, 0], [0, 20, 0], [0, 0, 10]])
    sampler = RareClassSampler(counts, min_pixels=1, temperature=0.5)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.bincount(torch.tensor([sampler.draw(generator).index for _ in range(4000)]), minlength=3) / 4000
    expected = rare_class_probabilities(torch.tensor([70, 20, 10]), temperature=0.5)
    assert drawn.tolist() == pytest.approx(expected.tolist(), abs=0.03)


def test_where_no_sample_holds_enough_of_anything_draws_are_uniform() -> None:
    sampler = RareClassSampler(torch.tensor([[3, 0], [0, 3]]), min_pixels=10)
    generator = torch.Generator().manual_seed(2)
    draws = [sampler.draw(generator) for _ in range(50)]
    assert {draw.index for draw in draws} == {0, 1}
    assert all(draw.wanted_class is None for draw in draws)


def test_an_empty_set_cannot_be_sampled() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        UniformSampler(0)
