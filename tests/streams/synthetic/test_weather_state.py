"""Weather as numbers: validation and mixing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.synthetic.weather import Weather


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"rain_mm_h": -1.0}, "rain_mm_h"),
        ({"rain_mm_h": math.nan}, "rain_mm_h"),
        ({"snow_mm_h": math.inf}, "snow_mm_h"),
        ({"fog_visibility_m": 0.0}, "fog_visibility_m"),
        ({"fog_visibility_m": math.nan}, "fog_visibility_m"),
        ({"night": 1.2}, "night"),
        ({"low_sun": -0.1}, "low_sun"),
        ({"defocus_px": -2.0}, "defocus_px"),
    ],
)
def test_values_out_of_range_are_named(values: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Weather(**values)


def test_fog_mixes_by_extinction() -> None:
    half = Weather.mix(Weather(), Weather(fog_visibility_m=100.0), 0.5)
    assert half.fog_visibility_m == pytest.approx(200.0)


def test_a_mix_of_clear_states_is_clear() -> None:
    assert Weather.mix(Weather(), Weather(), 0.3).is_clear


def test_the_share_is_checked() -> None:
    with pytest.raises(ValueError, match="share"):
        Weather.mix(Weather(), Weather(night=1.0), 1.5)


@given(st.floats(0, 1), st.floats(0, 300), st.floats(0, 300), st.floats(10, 1e4))
def test_a_mix_lies_between_its_ends(share: float, rain_a: float, rain_b: float, visibility_m: float) -> None:
    before, after = Weather(rain_mm_h=rain_a), Weather(rain_mm_h=rain_b, fog_visibility_m=visibility_m, night=1.0)
    mixed = Weather.mix(before, after, share)
    assert min(rain_a, rain_b) - 1e-9 <= mixed.rain_mm_h <= max(rain_a, rain_b) + 1e-9
    assert mixed.fog_visibility_m >= visibility_m * (1 - 1e-9)
    assert mixed.night == pytest.approx(share)


def test_a_mix_ends_where_it_should() -> None:
    after = Weather(rain_mm_h=200.0, fog_visibility_m=75.0, night=0.5)
    assert Weather.mix(Weather(), after, 0.0) == Weather()
    end = Weather.mix(Weather(), after, 1.0)
    assert (end.rain_mm_h, end.night) == (200.0, 0.5)
    assert end.fog_visibility_m == pytest.approx(75.0)
