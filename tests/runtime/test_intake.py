"""Unusable items are turned away with a reason; old frames too, unless there are no others."""

from dataclasses import replace

import numpy as np
import pytest

from runtime.events import Fault, FrameDropped
from runtime.intake import NO_INDEX, FrameCheck, Freshness, index_of
from tests.fakes import make_frame


def spoilt(**values):
    """A frame that slipped past its own checks."""
    frame = make_frame(5)
    for name, value in values.items():
        object.__setattr__(frame, name, value)
    return frame


def refusal(item, *, before=()) -> str:
    check = FrameCheck()
    for frame in before:
        assert check.turn_away(frame, at_s=1.0) == []
    dropped, fault = check.turn_away(item, at_s=2.0)
    assert dropped == FrameDropped(index=index_of(item), reason="invalid", at_s=2.0)
    assert (fault.component, fault.at_s) == ("capture", 2.0)
    return fault.detail.removeprefix("dropped as invalid: ")


def test_frames_of_one_size_pass() -> None:
    check = FrameCheck()
    for frame in (make_frame(0), make_frame(1, labelled=False), make_frame(7)):
        assert check.turn_away(frame, at_s=0.0) == []


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "NoneType is no frame"),
        (make_frame(0).image_HWC, "ndarray is no frame"),
        (spoilt(index=-1), "the index is no whole number from 0"),
        (spoilt(index="5"), "the index is no whole number from 0"),
        (spoilt(captured_at_s=float("nan")), "the time of capture is no number"),
        (spoilt(captured_at_s=None), "the time of capture is no number"),
        (spoilt(image_HWC=None), "the image is not uint8 of shape (H, W, 3)"),
        (spoilt(image_HWC=np.zeros((32, 64, 3), np.float32)), "the image is not uint8 of shape (H, W, 3)"),
        (spoilt(image_HWC=np.zeros((32, 64), np.uint8)), "the image is not uint8 of shape (H, W, 3)"),
        (spoilt(image_HWC=np.zeros((0, 64, 3), np.uint8)), "the image is not uint8 of shape (H, W, 3)"),
        (spoilt(label_HW=np.zeros((31, 64), np.uint8)), "the label is not uint8 of the image's height and width"),
        (spoilt(label_HW=np.zeros((32, 64), np.int64)), "the label is not uint8 of the image's height and width"),
    ],
)
def test_what_is_no_usable_frame_is_turned_away(item, reason) -> None:
    assert refusal(item) == refusal(item, before=[make_frame(0)]) == reason


def test_another_size_than_the_streams_is_turned_away() -> None:
    larger = replace(make_frame(1), image_HWC=np.zeros((48, 64, 3), np.uint8), label_HW=None)
    assert refusal(larger, before=[make_frame(0)]) == "48x64 in a stream that began with 32x64"


def test_unusable_items_do_not_fix_the_size() -> None:
    check = FrameCheck()
    check.turn_away(spoilt(image_HWC=np.zeros((48, 64, 3), np.uint8)), at_s=0.0)
    assert check.turn_away(make_frame(1), at_s=0.0) == []


def test_a_reason_that_repeats_is_told_once_and_again_after_a_usable_frame() -> None:
    check = FrameCheck()
    items = [None, None, spoilt(index=-1), None, make_frame(1), None]
    told = [any(isinstance(event, Fault) for event in check.turn_away(item, at_s=0.0)) for item in items]
    assert told == [True, False, True, True, False, True]


def test_items_without_an_index_are_accounted_under_one_of_their_own() -> None:
    assert index_of(make_frame(9)) == 9
    assert index_of(None) == index_of(spoilt(index="5")) == NO_INDEX


def test_a_frame_too_old_is_stale_and_one_at_the_limit_is_not() -> None:
    freshness = Freshness(0.25)
    frame = make_frame(at_s=100.0)
    assert [freshness.is_stale(frame, now_s) for now_s in (100.0, 100.25, 100.3)] == [False, False, True]


def test_a_stream_whose_frames_all_come_late_is_answered_after_a_second() -> None:
    freshness = Freshness(0.15)
    times = [100 + 0.25 * number for number in range(12)]
    stale = [freshness.is_stale(make_frame(at_s=now_s - 0.5), now_s) for now_s in times]
    assert stale == [True] * 4 + [False] * 8


def test_a_fresh_frame_ends_the_patience_with_old_ones() -> None:
    freshness = Freshness(0.15)
    late = [freshness.is_stale(make_frame(at_s=0.0), now_s) for now_s in (100.0, 101.0, 102.0)]
    fresh = freshness.is_stale(make_frame(at_s=102.1), 102.2)
    assert (late, fresh) == ([True, False, False], False)
    assert freshness.is_stale(make_frame(at_s=102.1), 103.0)


def test_a_burst_of_old_frames_after_a_stall_is_passed_over() -> None:
    freshness = Freshness(0.15)
    backlog = [freshness.is_stale(make_frame(at_s=100 + index / 30), 101 + index / 1000) for index in range(25)]
    assert all(backlog) and not freshness.is_stale(make_frame(at_s=101.0), 101.03)


def test_slow_streams_get_as_much_more_patience() -> None:
    freshness = Freshness(4.0)
    assert [freshness.is_stale(make_frame(at_s=0.0), now_s) for now_s in (100, 107.9, 108)] == [True, True, False]


def test_no_age_is_too_old_without_a_limit() -> None:
    assert not Freshness(float("inf")).is_stale(make_frame(at_s=0.0), 1e9)
