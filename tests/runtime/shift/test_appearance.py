"""Features of pictures whose statistics are known: each answers to what it is named after, and to little else."""

import numpy as np
import pytest

from runtime.shift.appearance import NUM_FEATURES, appearance, median

GRAIN_ACROSS_BELOW, GRAIN_DOWN_BELOW, GRAIN_ACROSS, GRAIN_DOWN = 0, 1, 2, 3
DARK_MIDDLE, DARK_BOTTOM, DARK_CENTRE, BRIGHT, COLOUR, DETAIL, CONTRAST = 4, 5, 6, 7, 8, 9, 10


def street(seed: int = 0, *, grain: float = 2.0) -> np.ndarray:
    """Patches of many greys and colours with grain over them, float."""
    rng = np.random.default_rng(seed)
    patches = rng.uniform(0, 220, (8, 16, 3)).repeat(16, 0).repeat(16, 1)
    return patches + rng.normal(0, grain, (128, 256, 3))


def developed(image: np.ndarray) -> np.ndarray:
    return image.round().clip(0, 255).astype(np.uint8)


def test_there_are_as_many_as_documented_and_all_are_finite() -> None:
    for image in (street(), np.zeros((32, 33, 3)), np.full((32, 32, 3), 255.0), street()[:, :40]):
        features_F = appearance(developed(image))
        assert features_F.shape == (NUM_FEATURES,) and features_F.dtype == np.float64
        assert np.isfinite(features_F).all()


@pytest.mark.parametrize("grain", [4.0, 8.0])
def test_grain_is_themedian_difference_of_neighbours(grain: float) -> None:
    """Of independent normal noise in three channels: luma deviation s, difference s sqrt(2), median 0.6745 of that."""
    luma_deviation = grain * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    flat = np.random.default_rng(1).normal(128, grain, (128, 256, 3))
    features_F = appearance(developed(flat))
    assert features_F[:4] == pytest.approx(0.6745 * np.sqrt(2) * luma_deviation, rel=0.05)


def test_edges_do_not_count_as_grain_and_stripes_across_do() -> None:
    plain, striped = street(), street()
    striped[64:, ::2] += 12.0
    before_F, after_F = appearance(developed(plain)), appearance(developed(striped))
    coarse_F = appearance(developed(street(seed=7)))
    assert coarse_F[:4] == pytest.approx(before_F[:4], abs=0.4)
    assert after_F[GRAIN_ACROSS_BELOW] > before_F[GRAIN_ACROSS_BELOW] + 6
    for unmoved in (GRAIN_ACROSS, GRAIN_DOWN, GRAIN_DOWN_BELOW):
        assert after_F[unmoved] == pytest.approx(before_F[unmoved], abs=0.2)


def test_a_veil_lifts_the_dark_and_takes_detail_and_contrast() -> None:
    before_F = appearance(developed(street()))
    after_F = appearance(developed(0.5 * street() + 0.5 * 230))
    for dark in (DARK_MIDDLE, DARK_BOTTOM, DARK_CENTRE):
        assert after_F[dark] > before_F[dark] + 0.5
    assert after_F[DETAIL] < before_F[DETAIL] - 0.3
    assert after_F[CONTRAST] < before_F[CONTRAST] - 0.5
    assert after_F[COLOUR] < before_F[COLOUR] - 0.4


def test_scenery_in_other_places_and_colours_moves_them_less_than_dusk_does() -> None:
    looks_NF = np.stack([appearance(developed(street(seed))) for seed in range(12)])
    dusk_F = appearance(developed(0.4 * street(20)))
    deviation_F = looks_NF.std(0) + 1e-6
    assert abs(dusk_F[BRIGHT] - looks_NF[:, BRIGHT].mean()) > 4 * deviation_F[BRIGHT]
    assert np.abs((looks_NF[0] - looks_NF[1:].mean(0)) / deviation_F).max() < 4


@pytest.mark.parametrize("shape", [(3, 5), (4, 6), (1, 2), (1, 1)])
def test_themedian_is_numpys_to_the_bit(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(0, 9, (*shape, 50)).astype(np.float32)
    for plane in np.moveaxis(values, -1, 0):
        assert median(plane) == float(np.median(plane))
