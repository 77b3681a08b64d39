"""Windows as a detector: whole windows, a limit by the source's room, and the source as the first anchor."""

import pytest

from runtime.shift.windowed import Windowed
from runtime.shift.windows import DomainWindows

TYPICAL = 0.6  # so the way to the edge is 0.4


def kinds(values, *, window=15):
    detector = Windowed(TYPICAL, window=window)
    found = [(frame, detector.update(value)) for frame, value in enumerate(values)]
    return [(frame, kind) for frame, kind in found if kind is not None]


def test_a_window_mean_beyond_the_edge_is_away_and_one_at_it_is_not():
    assert kinds([1.01] * 15) == [(14, "away")]
    assert kinds([0.99] * 300) == []


def test_a_window_settles_after_each_change():
    """Away with the window that ends at frame 14; the next is the anchor; then 1.5 is less than 0.4 from 1.3."""
    assert kinds([1.3] * 30 + [1.5] * 60) == [(14, "away")]
    assert kinds([1.3] * 30 + [1.8] * 15) == [(14, "away"), (44, "change")]


def test_a_stream_that_starts_shifted_is_known_by_the_source_anchor():
    """The published rule takes the storm for its anchor and never learns."""
    storm = [2.5] * 200
    published = DomainWindows(length=75, limit=0.23, keeps_anchor_frames=True)
    assert [published.update(value) for value in storm] == [None] * 200
    assert kinds(storm) == [(14, "away")]


def test_no_window_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Windowed(TYPICAL, window=0)
