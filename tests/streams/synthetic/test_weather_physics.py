"""The published fits at values worked out by hand, and their reading in pixels."""

import math

import numpy as np
import pytest

from streams.synthetic.weather import Weather, apply_weather, depth_prior
from streams.synthetic.weather.defocus import defocus
from streams.synthetic.weather.geometry import (
    View,
    ground_share,
    height_over_ground,
    view_from_depth,
)
from streams.synthetic.weather.medium import FOG_AIRLIGHT_RGB, fog_extinction_per_m
from streams.synthetic.weather.night import ambient_gain
from streams.synthetic.weather.raindrops import drops_per_m3, fall_speed_m_s, rain_extinction_per_m
from streams.synthetic.weather.snow import snow_extinction_per_m
from streams.synthetic.weather.streaks import streak_opacity


def test_fog_extinction_by_visibility() -> None:
    """Foggy Cityscapes: 0.02 per metre is a visibility of 150 m."""
    assert fog_extinction_per_m(150.0) == pytest.approx(0.02, rel=2e-3)
    assert fog_extinction_per_m(math.inf) == 0.0


@pytest.mark.parametrize("depth_m", [5.0, 20.0, 75.0])
def test_koschmieder_at_a_known_depth(depth_m: float) -> None:
    image_HWC = np.full((16, 24, 3), (200, 90, 10), np.uint8)
    result_HWC = apply_weather(
        image_HWC, np.full((16, 24), depth_m, np.float32), Weather(fog_visibility_m=75.0), seed=0, index=0
    )
    passed = 0.05 ** (depth_m / 75.0)
    expected = np.array([200, 90, 10]) * passed + np.array(FOG_AIRLIGHT_RGB) * (1 - passed)
    assert np.abs(result_HWC - expected).max() <= 0.51


def test_at_its_visibility_fog_leaves_five_percent_of_contrast() -> None:
    image_HWC = np.zeros((8, 8, 3), np.uint8)
    image_HWC[:, 4:] = 200
    result_HWC = apply_weather(
        image_HWC, np.full((8, 8), 375.0, np.float32), Weather(fog_visibility_m=375.0), seed=0, index=0
    )
    assert int(result_HWC[0, 7, 0]) - int(result_HWC[0, 0, 0]) == pytest.approx(10, abs=1)


def test_rain_extinction() -> None:
    """0.312 x 100^0.67 = 6.83 per km."""
    assert rain_extinction_per_m(100.0) == pytest.approx(6.83e-3, rel=2e-3)
    assert rain_extinction_per_m(0.0) == 0.0


def test_drop_sizes_follow_marshall_and_palmer() -> None:
    """The distribution integrated as a sum, and its liquid water: 0.089 R^0.84 g per m^3 (Marshall and Palmer 1948)."""
    sizes_mm = np.arange(0.0005, 12.0, 0.001)
    density = 8000.0 * np.exp(-4.1 * 25.0**-0.21 * sizes_mm)
    assert drops_per_m3(25.0, 2.0) == pytest.approx(density[sizes_mm > 2.0].sum() * 1e-3, rel=1e-3)
    water_g = (density * np.pi / 6.0 * sizes_mm**3 * 1e-3).sum() * 1e-3
    assert water_g == pytest.approx(0.089 * 25.0**0.84, rel=0.05)
    assert drops_per_m3(0.0, 2.0) == 0.0


def test_fall_speed_agrees_with_gunn_and_kinzer() -> None:
    """Their table of 1949: 4.03, 6.49, 8.06 and 9.09 m/s at 1, 2, 3 and 5 mm."""
    speeds = fall_speed_m_s(np.array([1.0, 2.0, 3.0, 5.0]))
    assert speeds == pytest.approx([4.03, 6.49, 8.06, 9.09], rel=0.03)


def test_snow_extinction() -> None:
    """ITU-R P.1814, dry snow at 550 nm and 1 mm/h: 5.5257 dB/km."""
    assert snow_extinction_per_m(1.0) * 1e3 * 10.0 / math.log(10.0) == pytest.approx(5.5257, rel=1e-4)


def test_streaks_cover_more_with_rate_and_lengthen_with_exposure() -> None:
    view = View(horizon_row=50.0, focal_px=200.0, height_m=1.4)

    def covered(rate_mm_h: float, exposure_s: float) -> float:
        generator = np.random.default_rng(1)
        opacity_HW = streak_opacity(120, 220, view, rate_mm_h, exposure_s=exposure_s, generator=generator)
        return float((opacity_HW > 0).mean())

    shares = [covered(rate, 1 / 60) for rate in (0, 25, 50, 100, 200)]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert covered(50, 1 / 30) > covered(50, 1 / 60) > covered(50, 1 / 240)


def test_the_view_is_read_from_a_flat_road() -> None:
    rows_H = np.arange(120, dtype=np.float32)
    road_H = 180.0 * 1.6 / np.maximum(rows_H - 48.0, 0.3)
    depth_HW = np.repeat(road_H[:, None], 200, axis=1)
    depth_HW[60:, 80:120] = np.minimum(depth_HW[60:, 80:120], 5.0)  # a vehicle ahead
    view = view_from_depth(depth_HW)
    assert view.horizon_row == pytest.approx(48.0, abs=0.1)
    assert view.focal_px * view.height_m == pytest.approx(180.0 * 1.6, rel=1e-3)


def test_ground_is_told_from_what_stands_on_it() -> None:
    depth_HW = depth_prior(120, 200).copy()
    depth_HW[60:90, 90:110] = 4.0
    ground_HW = ground_share(height_over_ground(depth_HW, view_from_depth(depth_HW)))
    assert ground_HW[110, 60:140].min() == 1.0
    assert ground_HW[60:80, 90:110].max() == 0.0
    assert ground_HW[:50].max() == 0.0


def test_a_wall_before_the_camera_gets_the_usual_view() -> None:
    view = view_from_depth(np.full((100, 100), 3.0, np.float32))
    assert view.horizon_row == pytest.approx(45.0)


def test_depth_prior_is_shared_and_read_only() -> None:
    prior_HW = depth_prior(60, 80)
    assert prior_HW.dtype == np.float32
    assert (np.diff(prior_HW[30:, 40]) < 0).all()
    with pytest.raises(ValueError, match="read-only"):
        prior_HW[0, 0] = 1.0


def test_night_leaves_2_2_gamma_of_its_stops() -> None:
    assert ambient_gain(0.0) == 1.0
    assert ambient_gain(1.0) ** 2.2 == pytest.approx(2.0**-3.8)


def test_defocus_spreads_a_point_over_its_disc() -> None:
    image_HWC = np.zeros((31, 31, 3), np.float32)
    image_HWC[15, 15] = 1.0
    disc_HW = defocus(image_HWC, 5.0)[..., 0]
    assert disc_HW.sum() == pytest.approx(1.0, abs=1e-5)
    assert disc_HW[15, 15] == pytest.approx(1.0 / (math.pi * 25.0), rel=0.02)
    assert disc_HW[15, 21] == 0.0
