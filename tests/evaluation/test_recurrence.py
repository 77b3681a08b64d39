import math

import pytest

from evaluation.recurrence import mean_gain, recurrences
from runtime.scores import VisitScore


def stays(*rows):
    return [VisitScore(name, n, 75 * n, 75, 75, ours, theirs) for n, (name, ours, theirs) in enumerate(rows)]


VISITS = stays(
    ("clear", 0.70, 0.70), ("rain", 0.30, 0.20), ("clear", 0.69, 0.71), ("rain", 0.40, 0.22), ("rain_", 0.1, 0.1)
)


def test_later_visits_against_the_first():
    clear, rain = recurrences([*VISITS, *stays(("rain", 0.50, 0.24))], [9, 3, 4, 5, 6])
    assert (clear.domain, clear.num_visits, clear.recovery_frames) == ("clear", 2, 3)
    assert (rain.domain, rain.num_visits, rain.recovery_frames) == ("rain", 3, 4)
    assert (rain.first, rain.later) == (0.30, pytest.approx(0.45))
    assert rain.gain == pytest.approx(0.15) and rain.gain_frozen == pytest.approx(0.03)
    assert clear.gain == pytest.approx(-0.01) and clear.gain_frozen == pytest.approx(0.01)
    assert mean_gain((clear, rain)) == pytest.approx((0.07, 0.02))


def test_where_only_the_newest_visits_are_known_all_of_them_have_recoveries():
    clear, rain = recurrences(VISITS, [None, 9, 3, None, 5])
    assert (clear.recovery_frames, rain.recovery_frames) == (3, None)


def test_nothing_came_back():
    assert recurrences(VISITS[:2], [7]) == ()
    assert all(math.isnan(gain) for gain in mean_gain(()))
