"""Grain against closed forms: moments, extent, slant, brightness; the bound on noise that is itself correlated."""

# H height, W width, C channels, S bands

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.adaptation.grain import LEAST_STREAK, grain, layer, standardised, sum_of_layers
from runtime.adaptation.styling import MAX_GRAIN, NUM_BANDS, Roughness, broad_grain_share, grain_share

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


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 31), st.integers(0, 10**6))
def test_every_channel_has_mean_0_and_variance_1(streak_pixels, seed) -> None:
    noise_CHW = grain(SIZE_HW, streak_pixels, generator=generator(seed))
    assert noise_CHW.shape == (3, *SIZE_HW) and bool(noise_CHW.isfinite().all())
    assert float(noise_CHW[0].mean()) == pytest.approx(0, abs=0.15)
    assert float(noise_CHW[0].var()) == pytest.approx(1, abs=0.3)  # long streaks leave few independent pixels
    assert noise_CHW[1:].var(dim=(1, 2)).tolist() == pytest.approx([1, 1], abs=0.05)


def test_short_grain_is_white_and_only_grey_is_drawn_out() -> None:
    white_CHW = grain(SIZE_HW, 1, generator=generator())
    assert [correlation(noise_HW, down=1) for noise_HW in white_CHW] == pytest.approx([0, 0, 0], abs=0.03)
    long_CHW = grain(SIZE_HW, 16, generator=generator())
    assert correlation(long_CHW[0], down=1) > 0.75
    assert [correlation(noise_HW, down=1) for noise_HW in long_CHW[1:]] == pytest.approx([0, 0], abs=0.03)


def test_grain_below_the_least_streak_holds_no_streaks() -> None:
    """A running mean of Gaussian noise has no skew; single streaks are brighter than what is around them."""
    short_HW = grain(SIZE_HW, LEAST_STREAK - 1, generator=generator())[0]
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
    first, again, other = (grain(SIZE_HW, 12, generator=generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def rough(across, apart):
    level_CS = torch.ones(3, NUM_BANDS)
    return Roughness(across * level_CS, apart * level_CS, 0.1 * level_CS)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.8])
def test_white_noise_is_read_from_neighbours(share) -> None:
    """Over scenery of roughness 0.1: 0.1 (1 - w) + w."""
    seen_CS = torch.full((3, NUM_BANDS), 0.1 * (1 - share) + share)
    assert torch.allclose(grain_share(seen_CS, torch.full((3, NUM_BANDS), 0.1)), torch.tensor(share), atol=1e-6)


def test_noise_of_some_breadth_is_read_from_pixels_further_apart() -> None:
    """Noise three pixels wide of share w over a smooth scene has w / 3 of the variance at one apart, 2 w / 3 at two."""
    share, deviation_CS = 0.6, torch.full((3, NUM_BANDS), 20.0)
    found_CS = broad_grain_share(rough(share / 3, share * 2 / 3), rough(0.0, 0.0), deviation_CS)
    assert torch.allclose(found_CS, torch.tensor(share * 2 / 3))
    assert float(broad_grain_share(rough(0.02, 0.04), rough(0.03, 0.06), deviation_CS).max()) == 0.0
    assert torch.allclose(broad_grain_share(rough(0.99, 0.99), rough(0.0, 0.0), deviation_CS), torch.tensor(MAX_GRAIN))


def test_a_band_whose_scenery_hides_the_noise_takes_the_middle_of_all_bands() -> None:
    deviation_CS, seen = torch.full((3, NUM_BANDS), 20.0), rough(0.3, 0.3)
    deviation_CS[:, 2] = 40.0
    seen.across_CS[:, 2] = seen.apart_CS[:, 2] = 0.0
    found_CS = broad_grain_share(seen, rough(0.0, 0.0), deviation_CS)
    assert torch.allclose(found_CS[:, 2], torch.tensor(0.3 * 20.0**2 / 40.0**2))
    lonely = rough(0.0, 0.0)
    lonely.across_CS[:, 2] = 0.3
    found_CS = broad_grain_share(lonely, rough(0.0, 0.0), deviation_CS)
    assert torch.allclose(found_CS[:, 2], torch.tensor(0.3)) and float(found_CS[:, 3].max()) == 0.0
