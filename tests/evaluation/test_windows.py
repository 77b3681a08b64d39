import math

import numpy as np
import pytest

from evaluation.windows import WINDOW_FRAMES, HarmedWindows

RIGHT = np.array([[2, 0], [0, 2]])  # mIoU 1
WRONG = np.array([[0, 2], [2, 0]])  # mIoU 0
EVEN = np.array([[1, 1], [1, 1]])  # 1 of 3 each: mIoU 1/3


def play(windows, pairs, *, start=0):
    for position, (served_KK, frozen_KK) in enumerate(pairs, start=start + 1):
        windows.push(position, served_KK, frozen_KK)


def test_before_the_first_full_window_nothing_is_known():
    windows = HarmedWindows(2)
    play(windows, [(WRONG, RIGHT)] * (WINDOW_FRAMES - 1))
    assert all(math.isnan(value) for value in (windows.share, windows.worst, windows.mean_served, windows.mean_frozen))


def test_share_and_worst_by_hand():
    windows = HarmedWindows(2)
    play(windows, [(RIGHT, RIGHT)] * WINDOW_FRAMES)
    assert (windows.share, windows.worst) == (0.0, 0.0)
    play(windows, [(WRONG, RIGHT)] * 50, start=WINDOW_FRAMES)
    # the worst window holds 50 right and 50 wrong frames: of each class 100 hits, 100 misses, 100 false alarms, 1/3
    assert windows.worst == pytest.approx(1 - 1 / 3)
    assert windows.share == 50 / 51
    play(windows, [(RIGHT, RIGHT)] * 200, start=WINDOW_FRAMES + 50)
    assert windows.worst == pytest.approx(1 - 1 / 3)


def test_means_over_windows_by_hand():
    windows = HarmedWindows(2)
    play(windows, [(RIGHT, EVEN)] * WINDOW_FRAMES)
    assert (windows.mean_served, windows.mean_frozen) == (1.0, pytest.approx(1 / 3))
    play(windows, [(WRONG, EVEN)] * 100, start=WINDOW_FRAMES)
    # n wrong ones among a hundred frames: of each class 2 (100 - n) hits in 2 (100 + n) pixels
    expected = sum((100 - n) / (100 + n) for n in range(101)) / 101
    assert (windows.mean_served, windows.mean_frozen) == (pytest.approx(expected), pytest.approx(1 / 3))


def test_a_window_without_a_labelled_pixel_is_none():
    windows = HarmedWindows(2)
    play(windows, [(0 * RIGHT, 0 * RIGHT)] * (WINDOW_FRAMES + 9))
    assert math.isnan(windows.mean_served) and math.isnan(windows.share)
    play(windows, [(RIGHT, RIGHT)], start=WINDOW_FRAMES + 9)
    assert (windows.mean_served, windows.share) == (1.0, 0.0)


def test_worst_is_a_gain_where_every_window_wins():
    windows = HarmedWindows(2)
    play(windows, [(RIGHT, EVEN)] * (WINDOW_FRAMES + 3))
    assert windows.worst == pytest.approx(1 / 3 - 1)
    assert windows.share == 0


def test_windows_go_on_from_a_state():
    first, second, whole = HarmedWindows(2), HarmedWindows(2), HarmedWindows(2)
    pairs = [(EVEN, RIGHT) if position % 3 else (RIGHT, EVEN) for position in range(180)]
    play(first, pairs[:120])
    second.load_state(first.state())
    play(second, pairs[120:], start=120)
    play(whole, pairs)
    assert (second.share, second.worst) == (whole.share, whole.worst)
    assert (second.mean_served, second.mean_frozen) == (whole.mean_served, whole.mean_frozen)
    with pytest.raises(ValueError, match="not the state of harmed windows"):
        second.load_state({})
