"""The whole rendering: identity, purity, strength by rate, and what must be refused."""

# H height, W width, C channels (RGB)

import numpy as np
import pytest

from streams.synthetic.weather import Weather, apply_weather, depth_prior

EVERYTHING = Weather(rain_mm_h=60, fog_visibility_m=300, night=0.6, low_sun=0.4, snow_mm_h=1, defocus_px=1.5)
EACH = {
    "rain": Weather(rain_mm_h=100),
    "fog": Weather(fog_visibility_m=150),
    "night": Weather(night=1.0),
    "low_sun": Weather(low_sun=1.0),
    "snow": Weather(snow_mm_h=4),
    "defocus": Weather(defocus_px=2),
    "everything": EVERYTHING,
}


def street(height: int = 96, width: int = 192) -> np.ndarray:
    """Textured ground, facades and a bright sky."""
    drawn = np.random.default_rng(5)
    image_HWC = drawn.integers(40, 150, size=(height, width, 3), dtype=np.uint8)
    image_HWC[: height // 4, width // 4 : 3 * width // 4] = 235
    return image_HWC


@pytest.fixture
def image_HWC() -> np.ndarray:
    return street()


def test_clear_weather_gives_back_the_very_bytes(image_HWC: np.ndarray) -> None:
    before = image_HWC.tobytes()
    result_HWC = apply_weather(image_HWC, depth_prior(96, 192), Weather(), seed=3, index=7)
    assert result_HWC.tobytes() == before


@pytest.mark.parametrize("kind", EACH)
def test_same_arguments_give_same_bytes_and_leave_the_input_alone(kind: str, image_HWC: np.ndarray) -> None:
    before = image_HWC.tobytes()
    depth_HW = depth_prior(96, 192).copy()
    first_HWC = apply_weather(image_HWC, depth_HW, EACH[kind], seed=3, index=7)
    apply_weather(image_HWC, depth_HW, EVERYTHING, seed=4, index=8)
    second_HWC = apply_weather(image_HWC, depth_HW, EACH[kind], seed=3, index=7)
    assert first_HWC.dtype == np.uint8
    assert first_HWC.shape == image_HWC.shape
    assert first_HWC.tobytes() == second_HWC.tobytes()
    assert image_HWC.tobytes() == before
    assert depth_HW.tobytes() == depth_prior(96, 192).tobytes()
    assert first_HWC.tobytes() != before


@pytest.mark.parametrize("kind", ["rain", "night", "snow"])
def test_streaks_flakes_and_noise_differ_between_frames(kind: str, image_HWC: np.ndarray) -> None:
    frames = {apply_weather(image_HWC, None, EACH[kind], seed=0, index=index).tobytes() for index in range(4)}
    assert len(frames) == 4


@pytest.mark.parametrize("size_HW", [(31, 47), (64, 64), (120, 80)])
def test_any_size_and_a_sky_at_infinity(size_HW: tuple[int, int]) -> None:
    depth_HW = depth_prior(*size_HW).copy()
    depth_HW[0] = np.inf
    result_HWC = apply_weather(street(*size_HW), depth_HW, EVERYTHING, seed=0, index=0)
    assert result_HWC.shape == (*size_HW, 3)


@pytest.mark.parametrize(
    "rising",
    [
        [Weather(rain_mm_h=rate) for rate in (0, 25, 50, 75, 100, 200)],
        [Weather(fog_visibility_m=range_m) for range_m in (np.inf, 750, 375, 150, 75)],
        [Weather(snow_mm_h=rate) for rate in (0, 1, 3, 6)],
    ],
    ids=["rain", "fog", "snow"],
)
def test_contrast_between_objects_falls_with_strength(rising: list[Weather]) -> None:
    """Two halves of a far wall, dark and bright: the step between them shrinks as the air thickens."""
    image_HWC = np.full((96, 192, 3), 40, np.uint8)
    image_HWC[:, 96:] = 160
    depth_HW = depth_prior(96, 192).copy()
    depth_HW[:50] = 40.0
    steps = []
    for weather in rising:
        seen = [apply_weather(image_HWC, depth_HW, weather, seed=0, index=i)[10:40].astype(float) for i in range(6)]
        mean_HWC = np.mean(seen, axis=0)
        steps.append(mean_HWC[:, 110:180].mean() - mean_HWC[:, 10:80].mean())
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < 0.6 * steps[0]


def test_night_darkens_steadily(image_HWC: np.ndarray) -> None:
    means = [
        apply_weather(image_HWC, None, Weather(night=night), seed=0, index=0).mean()
        for night in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.5 * means[0]


def test_rain_moves_the_picture_further_with_every_step(image_HWC: np.ndarray) -> None:
    moved = [
        np.abs(
            apply_weather(image_HWC, None, Weather(rain_mm_h=rate), seed=0, index=0).astype(float) - image_HWC
        ).mean()
        for rate in (1, 10, 25, 50, 100, 200)
    ]
    assert moved == sorted(moved)


def test_a_tiny_strength_is_nearly_nothing(image_HWC: np.ndarray) -> None:
    """Ramps start without a step."""
    faint = Weather(rain_mm_h=0.05, fog_visibility_m=1e6, night=1e-3, low_sun=1e-3, snow_mm_h=1e-3, defocus_px=0.01)
    result_HWC = apply_weather(image_HWC, None, faint, seed=0, index=0)
    assert np.abs(result_HWC.astype(float) - image_HWC).mean() < 2.0


def test_a_longer_exposure_smears_rain_more(image_HWC: np.ndarray) -> None:
    dark_HWC = np.zeros_like(image_HWC)
    weather = Weather(rain_mm_h=50)
    short_HWC = apply_weather(dark_HWC, None, weather, seed=0, index=0, exposure_s=1 / 500)
    long_HWC = apply_weather(dark_HWC, None, weather, seed=0, index=0, exposure_s=1 / 30)
    assert short_HWC[60:].max() > long_HWC[60:].max()


def test_refuses_other_images_and_depths(image_HWC: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 image"):
        apply_weather(image_HWC.astype(np.float32), None, Weather(night=1), seed=0, index=0)
    with pytest.raises(ValueError, match="depth of the image's size"):
        apply_weather(image_HWC, depth_prior(10, 10), Weather(night=1), seed=0, index=0)
