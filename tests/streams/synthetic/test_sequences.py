"""Presets by name, length and weather, and ramps without steps."""

import math
from itertools import pairwise

import pytest

from streams.synthetic.sequences import PRESETS, Sequence, Visit
from streams.synthetic.weather import Weather


def names(preset: str) -> list[str]:
    return [visit.name for visit in PRESETS[preset]().visits]


def test_presets_and_their_visits() -> None:
    assert list(PRESETS) == [
        "rain_sequence",
        "fog_sequence",
        "night_sequence",
        "storm_gradual",
        "clear",
        "mixed_recurring",
    ]
    up = ["clear", "rain_25mm", "rain_50mm", "rain_75mm", "rain_100mm"]
    assert names("rain_sequence") == [*up, "rain_200mm", *reversed(up)]
    down = ["clear", "fog_750m", "fog_375m", "fog_150m"]
    assert names("fog_sequence") == [*down, "fog_75m", *reversed(down)]
    assert names("night_sequence") == ["day", "dusk", "night", "dusk", "day"]
    assert names("storm_gradual") == ["clear", "rising", "storm", "falling", "clear"]
    assert names("clear") == ["clear"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_named_as_listed_and_described(preset: str) -> None:
    sequence = PRESETS[preset]()
    assert sequence.name == preset
    assert sequence.description
    assert sequence.num_frames == sum(visit.num_frames for visit in sequence.visits)


def test_lengths() -> None:
    assert PRESETS["rain_sequence"]().num_frames == 825
    assert PRESETS["clear"]().num_frames == 400
    assert PRESETS["rain_sequence"]().scaled(8).num_frames == 88
    assert PRESETS["storm_gradual"]().scaled(10).num_frames == 90


def test_at_visit_boundaries() -> None:
    rain = PRESETS["rain_sequence"]()
    assert rain.at(0) == (0, Weather())
    assert rain.at(74) == (0, Weather())
    assert rain.at(75) == (1, Weather(rain_mm_h=25))
    assert rain.at(5 * 75) == (5, Weather(rain_mm_h=200))
    assert rain.at(824) == (10, Weather())
    for outside in (-1, 825):
        with pytest.raises(IndexError, match="0 to 824"):
            rain.at(outside)


def test_the_gradual_storm_has_no_step() -> None:
    storm = PRESETS["storm_gradual"]()
    rates = [storm.at(frame)[1].rain_mm_h for frame in range(storm.num_frames)]
    steps = [abs(after - before) for before, after in pairwise(rates)]
    assert max(steps) == pytest.approx(200 / 225)
    assert max(rates) == 200.0
    assert rates[0] == rates[-1] == 0.0


def test_mixed_domains_return_after_irregular_times() -> None:
    mixed = PRESETS["mixed_recurring"]()
    visits = mixed.visits
    for name in {visit.name for visit in visits}:
        assert sum(visit.name == name for visit in visits) >= 2
    assert all(before.name != after.name for before, after in pairwise(visits))
    assert len({visit.num_frames for visit in visits}) > 5
    assert mixed == PRESETS["mixed_recurring"]()


def test_fog_names_say_the_visibility() -> None:
    for visit in PRESETS["fog_sequence"]().visits:
        expected = math.inf if visit.name == "clear" else float(visit.name.removeprefix("fog_").removesuffix("m"))
        assert visit.start.fog_visibility_m == expected


def test_bad_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="num_frames"):
        Visit("x", Weather(), Weather(), 0)
    with pytest.raises(ValueError, match="at least one visit"):
        Sequence("x", (), "nothing")
    with pytest.raises(ValueError, match="frames_per_visit"):
        PRESETS["clear"]().scaled(0)
