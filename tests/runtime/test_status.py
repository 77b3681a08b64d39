import math
from itertools import pairwise

from runtime import events
from runtime.history import History, Point
from runtime.status import Status
from runtime.web.health import liveness, readiness
from tests.fakes import (
    ManualClock,
    make_frame,
    make_prediction,
    make_run_finished,
    make_run_started,
    make_scores,
    make_shadow,
)


def test_counts_rate_and_latency():
    clock = ManualClock()
    status = Status(clock=clock, scores=make_scores)
    status.observe(make_run_started())
    for index in range(10):
        status.observe(events.FrameCaptured(index, clock()))
        status.observe(make_prediction(make_frame(index, at_s=clock()), wait_s=0.01, inference_s=0.02))
        clock.advance(0.1)
    status.observe(events.FrameCaptured(10, clock()))
    status.observe(events.FrameDropped(10, "stale", clock()))
    status.observe(events.FrameCaptured(11, clock()))
    snapshot = status.snapshot()
    assert (snapshot.captured, snapshot.predicted, snapshot.num_dropped, snapshot.in_flight) == (12, 10, 1, 1)
    assert math.isclose(snapshot.fps, 10.0, rel_tol=1e-6)
    assert math.isclose(snapshot.latency_p99_ms, 30.0, rel_tol=1e-6)
    assert math.isclose(snapshot.inference_p50_ms, 20.0, rel_tol=1e-6)
    assert snapshot.scores is not None and snapshot.scores.recent_miou == 0.30
    assert [point.frame for point in snapshot.points] == [4, 9]


def test_before_anything_happened_everything_is_unknown():
    snapshot = Status().snapshot()
    assert math.isnan(snapshot.fps) and math.isnan(snapshot.latency_p99_ms) and math.isnan(snapshot.confidence)
    assert snapshot.frame == -1 and snapshot.run is None and snapshot.scores is None
    assert Status().moment() is None


def test_a_moment_shows_both_models_on_one_frame_while_the_shadow_keeps_up():
    status = Status()
    first = make_prediction(make_frame(0))
    status.observe(first)
    assert status.moment().frozen_labels_HW is None
    shadow = make_shadow(first)
    status.observe(shadow)
    for index in (1, 2):
        status.observe(make_prediction(make_frame(index)))
    moment = status.moment()
    assert moment.frame == 0
    assert moment.frozen_labels_HW is shadow.labels_HW
    assert moment.labels_HW is first.labels_HW
    status.observe(make_prediction(make_frame(3)))
    assert status.moment().frame == 3
    assert status.moment().frozen_labels_HW is None


def test_ready_after_the_first_prediction_until_it_is_stale_or_over():
    clock = ManualClock()
    status = Status(clock=clock)
    assert readiness(status.snapshot()) == ["the run has not started"]
    status.observe(make_run_started())
    assert readiness(status.snapshot()) == ["no prediction yet"]
    status.observe(make_prediction(make_frame(0, at_s=clock())))
    assert readiness(status.snapshot()) == []
    clock.advance(11)
    assert "last prediction 11 s ago" in readiness(status.snapshot())[0]
    status.observe(make_run_finished())
    assert readiness(status.snapshot()) == ["the run is over (end)"]


def test_a_lost_camera_is_no_death_but_a_hanging_predictor_is():
    clock = ManualClock()
    status = Status(clock=clock)
    status.observe(make_run_started())
    status.observe(make_prediction(make_frame(0, at_s=clock())))
    clock.advance(3600)
    assert liveness(status.snapshot()) == []
    for index in range(1, 9):
        status.observe(events.FrameCaptured(index, clock()))
        clock.advance(5)
    assert "no prediction for 40 s" in liveness(status.snapshot())[0]
    status.observe(make_prediction(make_frame(8, at_s=clock())))
    assert liveness(status.snapshot()) == []


def test_slow_models_are_given_time_before_they_count_as_hanging():
    clock = ManualClock()
    status = Status(clock=clock)
    status.observe(make_run_started())
    status.observe(events.FrameCaptured(0, clock()))
    clock.advance(299)
    assert liveness(status.snapshot()) == []
    clock.advance(2)
    assert "(limit 300 s)" in liveness(status.snapshot())[0]
    status.observe(make_prediction(make_frame(0, at_s=clock() - 5.0), inference_s=5.0))
    status.observe(events.FrameCaptured(1, clock()))
    clock.advance(99)
    assert liveness(status.snapshot()) == []
    clock.advance(2)
    assert "(limit 100 s)" in liveness(status.snapshot())[0]


def test_no_answer_is_owed_for_frames_that_were_dropped():
    clock = ManualClock()
    status = Status(clock=clock)
    status.observe(make_run_started())
    status.observe(events.FrameCaptured(0, clock()))
    status.observe(make_prediction(make_frame(0, at_s=clock())))
    for index in (1, 2):
        status.observe(events.FrameCaptured(index, clock()))
    status.observe(events.FrameDropped(1, "stale", clock()))
    clock.advance(40)
    assert liveness(status.snapshot())
    status.observe(events.FrameDropped(2, "invalid", clock()))
    clock.advance(40)
    assert liveness(status.snapshot()) == []


def test_history_keeps_the_whole_run_evenly_spaced_in_bounded_memory():
    history = History(max_points=8, spacing=5)
    for num in range(1, 1001):
        if history.is_due(num):
            history.add(Point(num, *(0.0,) * 9))
    frames = [point.frame for point in history.points]
    assert 4 <= len(frames) < 8
    gaps = {after - before for before, after in pairwise(frames)}
    assert len(gaps) == 1
    assert frames[0] == gaps.pop()
    assert frames[-1] > 1000 - 2 * frames[0]
