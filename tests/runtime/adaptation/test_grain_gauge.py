"""The gauge against noise of known variance, extent and breadth, over scenery that would be taken for noise."""

# H height, W width, C channels

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.adaptation.grain_gauge import GREY, LEAST_DEVIATION, MAX_STREAK, GrainGauge

HEIGHT, WIDTH = 128, 240
LEVELS = 4.0  # by which the source's own pixels differ


def noise(deviation, *, seed=0, length=1, breadth=1):
    """White, or averaged over boxes, of that deviation, (C, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    white_CHW = torch.randn((3, HEIGHT + length - 1, WIDTH + breadth - 1), generator=generator)
    return deviation * (length * breadth) ** 0.5 * F.avg_pool2d(white_CHW, (length, breadth), stride=1)


def street(seed=0, *, trees=0.4):
    """A bright sky over a dark road, and between, over that share of the columns, things of every brightness."""
    image_CHW = torch.full((3, HEIGHT, WIDTH), 120.0)
    image_CHW[:, :48] = 400.0
    image_CHW[:, 16:80, : int(trees * WIDTH)] += noise(90, seed=seed + 1)[:, 16:80, : int(trees * WIDTH)]
    return image_CHW + noise(LEVELS, seed=seed)


def looked_at(image_CHW, step=1):
    return image_CHW[:, ::step], image_CHW[GREY, :, ::step]


def gauge(num=8, *, step=1):
    return GrainGauge(looked_at(street(10 * seed), step) for seed in range(num))


@pytest.mark.parametrize("step", [1, 2])
def test_the_source_has_no_grain_of_its_own(step) -> None:
    found = gauge(step=step).read(*looked_at(street(7), step))
    assert float(found.variance_C.max()) < 3.0 and found.streak_pixels == 1


def test_a_busier_street_is_no_grain() -> None:
    found = gauge().read(*looked_at(street(7, trees=0.7)))
    assert float(found.variance_C.max()) < 3.0 and found.streak_pixels == 1


@settings(deadline=None, max_examples=15)
@given(st.floats(6.0, 40.0), st.integers(0, 1000), st.floats(0.0, 0.7))
def test_white_noise_is_read_wherever_the_scenery_stands(deviation, seed, trees) -> None:
    """The flattest fifth of tiles of 80 pixels has four fifths of the variance of all."""
    found = gauge().read(*looked_at(street(seed, trees=trees) + noise(deviation, seed=seed + 500)))
    assert found.streak_pixels == 1
    assert (found.variance_C.sqrt() / deviation).tolist() == pytest.approx([0.92] * 3, abs=0.1)


def test_what_the_source_has_counts_as_little_as_it_shows_in_a_pale_picture() -> None:
    """At a tenth of the contrast hardly anything of its own differences is left to be taken off."""
    found = gauge().read(*looked_at(0.1 * street(7) + noise(4.0, seed=3)))
    assert (found.variance_C.sqrt() / 4.0).tolist() == pytest.approx([0.92] * 3, abs=0.1)


@pytest.mark.parametrize("length", [6, 10, 16])
def test_streaks_are_as_long_as_they_were_drawn_out(length) -> None:
    """Noise averaged down n rows differs by 2 / n of its variance from row to row."""
    found = gauge().read(*looked_at(street(7, trees=0.0) + noise(20, seed=3, length=length)))
    assert found.streak_pixels == pytest.approx(length, rel=0.35)
    assert 13 < float(found.variance_C[GREY].sqrt()) < 21


def test_nothing_is_drawn_out_further_than_the_bound() -> None:
    still_CHW = noise(20, seed=3)[:, :1].expand(3, HEIGHT, WIDTH)
    assert gauge().read(*looked_at(street(7, trees=0.0) + still_CHW)).streak_pixels == MAX_STREAK


def test_streaks_too_faint_to_tell_from_scenery_are_none() -> None:
    found = gauge().read(*looked_at(street(7, trees=0.0) + noise(0.5 * LEAST_DEVIATION, seed=3, length=12)))
    assert found.streak_pixels == 1


def test_broad_streaks_are_told_from_narrow_ones() -> None:
    """A box two pixels wide is half as rough; beyond that no grain is drawn."""
    streaks = (noise(20, seed=3, length=8, breadth=pixels) for pixels in (1, 2, 4))
    narrow, broad, broadest = (
        gauge().read(*looked_at(street(7, trees=0.0) + streaks_CHW)).breadth for streaks_CHW in streaks
    )
    assert narrow == pytest.approx(1.0, abs=0.15) and broad == pytest.approx(2.0, abs=0.2) and broadest == 2.0
