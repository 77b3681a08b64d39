"""Grain against closed forms: moments, extent, breadth, slant, brightness."""

# H height, W width, C channels

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.adaptation.grain import (
    LEAST_STREAK,
    MOST_STREAKS,
    Grain,
    layer,
    neighbours_weight,
    standardised,
    sum_of_layers,
)

SIZE_HW = (128, 256)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def correlation(noise_HW, *, down=0, across=0):
    """Of pixels with those so far below and to the right."""
    centred_HW = noise_HW - noise_HW.mean()
    height, width = noise_HW.shape
    first_HW = centred_HW[: height - down, max(0, -across) : width - max(0, across)]
    second_HW = centred_HW[down:, max(0, across) : width + min(0, across)]
    return float((first_HW * second_HW).mean() / centred_HW.square().mean())


def drawn(streak_pixels, *, seed=0, breadth=1.0, variances=(1.0, 1.0, 1.0)):
    return Grain(torch.tensor(variances), streak_pixels, breadth).draw(SIZE_HW, generator=generator(seed))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 31), st.integers(0, 10**6), st.floats(1.0, 2.0))
def test_grain_has_mean_0_and_the_variance_it_is_said_to_have(streak_pixels, seed, breadth) -> None:
    """Grey streaks add up to MOST_STREAKS of it; long ones leave few independent pixels."""
    noise_CHW = drawn(streak_pixels, seed=seed, breadth=breadth, variances=(4.0, 1.0, 0.25))
    assert noise_CHW.shape == (3, *SIZE_HW) and bool(noise_CHW.isfinite().all())
    assert float(noise_CHW[0].mean()) == pytest.approx(0, abs=0.3)
    most = 1 + (MOST_STREAKS if streak_pixels >= LEAST_STREAK else 0.0)
    assert 4 * 0.7 <= float(noise_CHW[0].var()) <= 4 * most * 1.3
    assert noise_CHW[1:].var(dim=(1, 2)).tolist() == pytest.approx([1, 0.25], rel=0.05)


@pytest.mark.parametrize("streak_pixels", [1, 12])
def test_the_total_is_what_is_drawn_on_average(streak_pixels) -> None:
    found_C = torch.stack([drawn(streak_pixels, seed=seed).var(dim=(1, 2)) for seed in range(40)]).mean(0)
    assert Grain(torch.ones(3), streak_pixels, 1.0).total_C.tolist() == pytest.approx(found_C.tolist(), rel=0.15)


def test_short_grain_is_white_and_only_grey_is_drawn_out() -> None:
    white_CHW = drawn(1)
    assert [correlation(noise_HW, down=1) for noise_HW in white_CHW] == pytest.approx([0, 0, 0], abs=0.03)
    long_CHW = drawn(16)
    assert correlation(long_CHW[0], down=1) > 0.75
    assert [correlation(noise_HW, down=1) for noise_HW in long_CHW[1:]] == pytest.approx([0, 0], abs=0.03)


@pytest.mark.parametrize("breadth", [1.0, 1.3, 1.6, 2.0])
def test_neighbours_in_broad_grain_are_alike(breadth) -> None:
    """One minus one over the breadth, and no more than that with the pixels beyond."""
    grey_HW = drawn(1, breadth=breadth)[0]
    assert correlation(grey_HW, across=1) == pytest.approx(1 - 1 / breadth, abs=0.02)
    assert correlation(grey_HW, across=2) == pytest.approx(0, abs=0.02)
    assert 0.0 <= neighbours_weight(breadth) <= 1.0


def test_grain_below_the_least_streak_holds_no_streaks() -> None:
    """A running mean of Gaussian noise has no skew; single streaks are brighter than what is around them."""
    short_HW = drawn(LEAST_STREAK - 1)[0]
    assert float((short_HW**3).mean()) == pytest.approx(0, abs=0.1)
    skews = [float((sum_of_layers(SIZE_HW, 16, generator=generator(seed)) ** 3).mean()) for seed in range(8)]
    assert min(skews) > 0.5


@pytest.mark.parametrize("length", [4, 9, 20])
def test_upright_streaks_are_boxes(length) -> None:
    """Boxes of n rows correlate by 1 - k / n with what is k rows below; boxes of one column with no other column."""
    noise_HW = layer(
        (256, 512), length=length, breadth=1, density=0.02, slants=(0.0, 0.0), generator=generator()
    )
    assert correlation(noise_HW, down=length // 2) == pytest.approx(1 - (length // 2) / length, abs=0.06)
    assert correlation(noise_HW, across=1) == pytest.approx(0, abs=0.04)


def test_streaks_are_as_many_and_as_bright_as_their_density() -> None:
    """Exponential brightness of mean 1 at 2 % of the pixels, averaged in boxes: mean 0.02."""
    noise_HW = layer((256, 512), length=5, breadth=3, density=0.02, slants=(0.0, 0.0), generator=generator())
    assert float(noise_HW.mean()) == pytest.approx(0.02, rel=0.1) and float(noise_HW.min()) == 0.0


@pytest.mark.parametrize("tilt", [-0.5, 0.5])
def test_tilt_moves_streaks_sideways_as_they_fall(tilt) -> None:
    noise_HW = layer((256, 512), length=16, breadth=1, density=0.01, slants=(tilt, 0.0), generator=generator())
    along, against = (correlation(noise_HW, down=8, across=sign * round(8 * tilt)) for sign in (1, -1))
    assert along > 0.35 and abs(against) < 0.1


def test_fan_slants_the_two_sides_apart() -> None:
    noise_HW = layer((256, 512), length=16, breadth=1, density=0.01, slants=(0.0, 1.0), generator=generator())
    left_HW, right_HW = noise_HW[:, :64], noise_HW[:, -64:]
    for side_HW, outward in ((left_HW, -1), (right_HW, 1)):
        along, against = (correlation(side_HW, down=8, across=3 * sign * outward) for sign in (1, -1))
        assert along > against + 0.1


def test_constant_noise_is_none() -> None:
    assert float(standardised(torch.full((4, 4), 7.0)).abs().max()) == 0.0


def test_the_same_generator_gives_the_same_grain() -> None:
    first, again, other = (drawn(12, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
