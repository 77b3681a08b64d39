"""mIoU along a run, worked out by hand from a few slices, and means over runs."""

import numpy as np
import pytest

from evaluation.curves import WindowedCurve, mean_curve, windowed_curve
from evaluation.slices import SliceKey, SliceLog

RIGHT = np.array([[2, 0], [0, 2]])
WRONG = np.array([[0, 2], [2, 0]])
EVEN = np.array([[1, 1], [1, 1]])


def sliced(frames, *, first=0):
    """Slices of frames, each a domain and the served counts; the frozen model is even throughout."""
    log = SliceLog(2)
    visit, last = -1, None
    for index, (domain, served_KK) in enumerate(frames, start=first):
        visit, last = visit + (domain != last), domain
        log.add(SliceKey(domain, visit, 0), index, served_KK, EVEN)
    return log.slices()


def test_a_point_for_every_slice_that_ends_a_window():
    slices = sliced([("clear", RIGHT)] * 10 + [("rain", WRONG)] * 10, first=40)
    curve = windowed_curve(slices, num_frames=10)
    assert curve.frames == (50, 55, 60)
    # five of ten wrong: of each class 10 hits, 10 misses, 10 false alarms
    assert curve.served == (100.0, pytest.approx(100 / 3), 0.0)
    assert curve.frozen == pytest.approx((100 / 3,) * 3)


def test_a_window_is_the_fewest_slices_that_hold_enough_frames():
    slices = sliced([("clear", WRONG)] * 3 + [("rain", RIGHT)] * 5 + [("fog", RIGHT)] * 2)  # slices of 3, 5 and 2
    assert windowed_curve(slices, num_frames=8).frames == (8, 10)
    late = windowed_curve(slices, num_frames=7)
    assert late.frames == (8, 10)
    assert late.served[1] == 100.0  # the last two slices are enough
    assert late.served[0] == pytest.approx(100 * 10 / 22)  # 5 right, 3 wrong: 10 hits of 16 + 6 pixels


def test_a_run_shorter_than_a_window_has_no_point():
    assert windowed_curve(sliced([("clear", RIGHT)] * 9), num_frames=10) == WindowedCurve((), (), ())


def test_runs_of_the_same_points_are_averaged():
    curves = [
        WindowedCurve((5, 10), (10.0, 20.0), (1.0, 1.0)),
        WindowedCurve((5, 10), (30.0, 20.0), (2.0, 3.0)),
        WindowedCurve((6, 10), (99.0, 99.0), (9.0, 9.0)),
    ]
    assert mean_curve(curves) == WindowedCurve((5, 10), (20.0, 20.0), (1.5, 2.0))
    assert mean_curve([]) is None and mean_curve([WindowedCurve((), (), ())]) is None
