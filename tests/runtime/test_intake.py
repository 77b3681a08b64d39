"""Unusable items are turned away with a reason; old frames and late answers too, unless there are no others."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.timed import TimedScore
from runtime.events import Fault, FrameDropped, Prediction
from runtime.intake import NO_INDEX, FrameCheck, Freshness, captured, index_of
from tests.fakes import make_frame, make_prediction, make_run_finished, make_run_started


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


@pytest.mark.parametrize("label_HW", [np.zeros((32, 64)), np.zeros((32, 64), np.int64), np.zeros(9, np.uint8), "road"])
def test_what_is_no_label_reaches_nobody_who_scores(label_HW) -> None:
    score = TimedScore(3)
    score.observe(make_run_started(pace="live"))
    score.observe(captured(spoilt(label_HW=label_HW), 1.0))
    score.observe(make_run_finished())
    assert score.streaming() is None


def test_an_unusable_image_that_is_labelled_counts_as_unanswered() -> None:
    score = TimedScore(3)
    score.observe(make_run_started(pace="live"))
    score.observe(captured(spoilt(image_HWC=None), 1.0))
    score.observe(make_run_finished())
    assert score.at_period().miou == 0.0


def freshness_of(max_age_s: float, *, period_s: float = 0.1, inferences_s=()) -> Freshness:
    """One that has seen answers which took this long, each in time."""
    freshness = Freshness(max_age_s, period_s=period_s)
    for inference_s in inferences_s:
        assert not freshness.is_late(answer(0.0, inference_s))
    return freshness


def answer(age_s: float, inference_s: float, *, at_s: float = 100.0) -> Prediction:
    """To a frame that was this old as its inference began."""
    return make_prediction(make_frame(at_s=at_s - age_s - inference_s), wait_s=age_s, inference_s=inference_s)


def stale(freshness: Freshness, *ages_s: float, now_s: float = 100.0) -> list[bool]:
    return [freshness.is_stale(make_frame(at_s=now_s - age_s), now_s) for age_s in ages_s]


def test_a_frame_too_old_is_stale_and_one_at_the_limit_is_not() -> None:
    assert stale(freshness_of(0.25), 0.0, 0.25, 0.3) == [False, False, True]


def test_a_stream_whose_frames_all_come_late_is_answered_after_a_second() -> None:
    freshness = freshness_of(0.15)
    times = [100 + 0.25 * number for number in range(12)]
    assert [stale(freshness, 0.5, now_s=now_s) for now_s in times] == [[True]] * 4 + [[False]] * 8


def test_an_answer_in_time_ends_the_patience_with_old_ones() -> None:
    freshness = freshness_of(0.15)
    assert [stale(freshness, 10.0, now_s=now_s) for now_s in (100.0, 101.0, 102.0)] == [[True], [False], [False]]
    assert not freshness.is_late(answer(10.0, 0.02, at_s=102.1)), "it was accepted, so it is given"
    assert stale(freshness, 0.1, 10.0, now_s=102.2) == [False, False]
    assert not freshness.is_late(answer(0.1, 0.02, at_s=102.3))
    assert stale(freshness, 0.9, now_s=103.0) == [True]


def test_a_burst_of_old_frames_after_a_stall_is_passed_over() -> None:
    freshness = freshness_of(0.15)
    backlog = [freshness.is_stale(make_frame(at_s=100 + index / 30), 101 + index / 1000) for index in range(25)]
    assert all(backlog) and not freshness.is_stale(make_frame(at_s=101.0), 101.03)


def test_slow_streams_get_as_much_more_patience() -> None:
    freshness = freshness_of(4.0)
    assert [freshness.is_stale(make_frame(at_s=0.0), now_s) for now_s in (100, 107.9, 108)] == [True, True, False]


def test_no_age_is_too_old_without_a_limit() -> None:
    freshness = freshness_of(float("inf"))
    assert not freshness.is_stale(make_frame(at_s=0.0), 1e9) and not freshness.is_late(answer(1e9, 1e3))


def test_a_frame_leaves_time_for_an_inference_as_long_as_most() -> None:
    """Nine in ten took 60 ms or less, so of 200 ms a frame may have used up 140."""
    freshness = freshness_of(0.2, inferences_s=[0.06] * 29 + [0.19] * 3)
    assert stale(freshness, 0.13, 0.15) == [False, True]


def test_the_newest_frame_there_can_be_is_never_stale() -> None:
    """200 ms are 190 and 10, but a fresher one than 140 ms may be late by half a period."""
    freshness = freshness_of(0.2, inferences_s=[0.19] * 32)
    assert stale(freshness, 0.14, 0.16) == [False, True]
    assert stale(freshness_of(0.2, period_s=1.0), 0.19, 0.21) == [False, True], "the limit holds all the same"


def test_only_the_last_inferences_count() -> None:
    freshness = freshness_of(0.2, inferences_s=[0.19] * 32 + [0.02] * 29)
    assert stale(freshness, 0.17) == [False]


def test_an_answer_that_comes_out_too_old_is_late() -> None:
    freshness = freshness_of(0.2, inferences_s=[0.05] * 20)
    assert [freshness.is_late(answer(age_s, 0.12)) for age_s in (0.07, 0.09)] == [False, True]


def test_one_slow_inference_among_the_first_few_does_not_excuse_itself() -> None:
    freshness = freshness_of(0.15, period_s=0.02)
    assert [freshness.is_late(answer(0.01, inference_s)) for inference_s in (0.08, 0.12, 0.08)] == [False] * 3
    assert freshness.is_late(answer(0.01, 0.154))
    assert not freshness.is_late(answer(0.01, 0.1))


def test_where_no_answer_could_be_in_time_the_age_at_the_start_decides() -> None:
    """An inference of 120 ms and a period of 100 do not fit into 200, so any answer may be older than that."""
    freshness = freshness_of(0.2, inferences_s=[0.12] * 20)
    assert [freshness.is_late(answer(age_s, 0.12)) for age_s in (0.15, 0.21)] == [False, True]
    assert not freshness_of(0.15).is_late(answer(0.0, 3.0)), "the first answer of all tells how long they take"


def test_a_clock_that_ran_on_between_the_question_and_the_start_is_noticed_in_the_answer() -> None:
    """The thread was held up after `is_stale` let the frame pass."""
    freshness = freshness_of(0.15, inferences_s=[0.3] * 5)
    assert stale(freshness, 0.149) == [False] and freshness.is_late(answer(0.182, 0.3))


def test_whatever_happens_something_is_answered_after_a_while() -> None:
    """Frames fresh, answers late one in four, each time: refused for a second, then given."""
    freshness = freshness_of(0.2, inferences_s=[0.01] * 32)
    late = []
    for number in range(30):
        assert not freshness.is_stale(make_frame(at_s=100.0 + number / 10), 100.0 + number / 10)
        late.append(freshness.is_late(answer(0.3, 0.01, at_s=100.0 + number / 10)))
    assert late == [True] * 10 + [False] * 20
