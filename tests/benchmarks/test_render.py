import numpy as np
import pytest

from benchmarks.render import WEATHERS, Rate, RenderConfig, Times, measure, rate_table
from runtime.option_words import ConfigError


def test_streets_and_every_weather_are_timed():
    rates = measure((32, 64), num_streets=1, num_frames=2)
    assert [rate.name for rate in rates] == ["new street", "street", *WEATHERS]
    assert all(rate.frame_ms.num == 2 for rate in rates[1:])


def test_the_rate_is_over_the_mean_and_the_percentiles_in_ms():
    rate = Rate.of("street", Times(np.array([0.01, 0.03]), np.array([0.01, 0.01])))
    assert (rate.per_s, rate.per_cpu_s) == (pytest.approx(50), pytest.approx(100))
    assert rate_table("256x512", [rate]).rows == (("street", "50.0", "100.0", "20.0", "29.0", "2"),)


def test_no_streets_are_refused():
    with pytest.raises(ConfigError, match="--streets 0"):
        RenderConfig(streets=0)
