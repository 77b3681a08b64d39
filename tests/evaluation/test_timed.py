import math

import numpy as np
import pytest

from evaluation.timed import MAX_PENDING, TimedScore
from runtime.events import FrameCaptured, Prediction
from streams.frame import Frame
from tests.fakes import make_run_finished, make_run_started

ROAD, CAR = 0, 1


def label(kind):
    return np.full((1, 4), kind, np.uint8)


def capture(score, index, kind, *, domain="clear", at_s=None, labelled=True):
    at_s = index / 10 if at_s is None else at_s
    score.observe(FrameCaptured(index, at_s, label(kind) if labelled else None, domain))


def answer(score, index, kind, *, late_ms):
    """The answer to the frame captured at index / 10, `late_ms` after that."""
    frame = Frame(index, index / 10, np.zeros((1, 4, 3), np.uint8))
    score.observe(Prediction(frame, 0, label(kind), 0.9, 0.1, frame.captured_at_s, frame.captured_at_s + late_ms / 1e3))


def started(**changes):
    score = TimedScore(2)
    score.observe(make_run_started(**({"pace": "live", "stream_fps": 10.0} | changes)))
    return score


def miou_at(score, deadline_ms):
    (found,) = [figures.miou for figures in score.deadlines() if figures.deadline_ms == deadline_ms]
    return found


def test_streaming_scores_the_answer_there_was_as_a_frame_was_captured():
    score = started()
    for index, kind in enumerate([ROAD, ROAD, CAR, CAR]):
        capture(score, index, kind)
        answer(score, index, kind, late_ms=30)
    # shown: nothing, road, road, car; truth: road, road, car, car
    # road: 1 hit, 1 without an answer, 1 false: 1/3; car: 1 hit, 1 missed: 1/2
    assert score.streaming().miou == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert score.streaming().hmean == score.streaming().miou


def test_an_answer_just_in_time_is_shown_and_a_later_one_is_not():
    just, late = started(), started()
    for score, late_ms in ((just, 100.0), (late, 100.1)):
        capture(score, 0, ROAD)
        capture(score, 1, ROAD)
        answer(score, 0, ROAD, late_ms=late_ms)
        answer(score, 1, ROAD, late_ms=late_ms)
    assert just.streaming().miou == pytest.approx(1 / 2)
    assert late.streaming().miou == 0.0


def test_a_late_answer_is_wrong_on_every_pixel():
    score = started()
    for index in range(4):
        capture(score, index, ROAD if index % 2 else CAR)
    for index, late_ms in enumerate([15, 45, 45, 120]):
        answer(score, index, ROAD if index % 2 else CAR, late_ms=late_ms)
    assert miou_at(score, 10.0) == 0.0
    assert miou_at(score, 20.0) == pytest.approx((0 + 1 / 2) / 2)  # car: one of two
    assert miou_at(score, 50.0) == pytest.approx((1 / 2 + 1) / 2)
    assert score.at_period().deadline_ms == 100.0 and score.at_period().miou == pytest.approx(3 / 4)
    assert miou_at(score, 150.0) == 1.0


def test_a_dropped_frame_and_one_in_flight_at_the_end_count_as_unanswered():
    score = started()
    capture(score, 0, ROAD)
    answer(score, 0, ROAD, late_ms=20)
    capture(score, 1, ROAD)  # dropped
    capture(score, 2, ROAD)
    answer(score, 2, ROAD, late_ms=20)
    capture(score, 3, ROAD)  # in flight
    assert miou_at(score, 1000.0) == pytest.approx(2 / 3)
    score.observe(make_run_finished())
    assert miou_at(score, 1000.0) == pytest.approx(2 / 4)
    assert score.streaming().miou == pytest.approx(3 / 4)  # all but the first were shown road


def test_the_period_is_a_deadline_of_its_own():
    score = started(stream_fps=8.0)
    capture(score, 0, ROAD)
    answer(score, 0, ROAD, late_ms=120)
    assert score.at_period().deadline_ms == 125.0 and score.at_period().miou == 1.0
    assert [figures.deadline_ms for figures in score.deadlines()] == sorted(
        figures.deadline_ms for figures in score.deadlines()
    )


def test_means_over_visits_are_harmonic():
    score = started()
    for index, (kind, domain) in enumerate([(ROAD, "clear"), (ROAD, "rain"), (CAR, "rain"), (ROAD, "clear")]):
        capture(score, index, kind, domain=domain)
        answer(score, index, ROAD, late_ms=20)
    # visits: road right, 1; road 1 of 2 and car 0 of 1, 1/4; road right, 1
    assert score.at_period().hmean == pytest.approx(3 / (1 + 4 + 1))
    assert score.at_period().miou == pytest.approx((3 / 4 + 0) / 2)


def test_where_times_mean_nothing_or_labels_are_missing_nothing_is_scored():
    for pace in ("lockstep", "max"):
        score = started(pace=pace)
        capture(score, 0, ROAD)
        answer(score, 0, ROAD, late_ms=20)
        assert score.streaming() is None and score.deadlines() == () and score.at_period() is None
    score = started(pace="lockstep", latency="60+120")
    capture(score, 0, ROAD, labelled=False)
    capture(score, 1, 7)  # no class of these
    answer(score, 1, ROAD, late_ms=20)
    assert score.streaming() is None
    capture(score, 2, ROAD)
    answer(score, 2, ROAD, late_ms=20)
    assert score.at_period().miou == 1.0


def test_what_waits_is_bounded():
    score = started()
    for index in range(MAX_PENDING + 50):
        capture(score, index, ROAD)
    answer(score, MAX_PENDING + 49, ROAD, late_ms=20)
    assert miou_at(score, 20.0) == pytest.approx(1 / MAX_PENDING)


def test_a_score_goes_on_from_its_state():
    first, second = started(), TimedScore(2)
    for index in range(3):
        capture(first, index, ROAD, domain=f"visit {index}")
        answer(first, index, ROAD if index else CAR, late_ms=20)
    before = first.state()
    second.load_state(before)
    assert repr(second.state()) == repr(before)
    second.observe(make_run_started(pace="live", stream_fps=10.0))
    assert second.deadlines() == first.deadlines() and math.isinf(second.streaming().deadline_ms)
    with pytest.raises(ValueError, match="not the state of a timed score"):
        second.load_state({})
