"""A run of any length is kept in bounded memory, and what stands out of it is not thinned away."""

import json
import math

import numpy as np

from evaluation.run_folder import read_run
from evaluation.thinning import (
    MAX_KEPT,
    MAX_MARKS,
    MAX_SPANS,
    CurveLog,
    Mark,
    MarkLog,
    PeakLog,
    Span,
    SpanLog,
)
from evaluation.timeline import percentiles, read_timeline

NUM = 2 * MAX_KEPT + 5
SLOW = 30_001  # a frame that no thinning by halves would keep


def test_a_long_record_is_read_into_a_bounded_number_of_points(tmp_path):
    with (tmp_path / "events.jsonl").open("w") as file:
        for frame in range(NUM):
            row = {"event": "prediction", "frame": frame, "latency_ms": 500.0 if frame == SLOW else 30.0}
            file.write(json.dumps(row) + "\n")
    timeline = read_timeline(read_run(tmp_path))
    assert timeline.num_predicted == NUM
    for curve in (timeline.latency, timeline.version, timeline.slowest):
        assert len(curve.frames) == len(curve.values) <= MAX_KEPT
    assert timeline.latency.frames[-1] >= NUM - 4
    assert percentiles(timeline.latency) == {"p50": 30.0, "p95": 30.0, "p99": 30.0, "max": 500.0}
    assert timeline.slowest.frames[timeline.slowest.values == 500.0].tolist() == [SLOW]


def test_curves_of_one_log_are_thinned_evenly_and_together():
    log = CurveLog("double", "rare")
    for frame in range(NUM):
        log.add(frame, (2.0 * frame, frame if frame % 5 == 4 else math.nan))
    double, rare = log.curve("double"), log.curve("rare")
    assert np.array_equal(double.frames, np.arange(0, NUM, 4)) and np.array_equal(double.values, 2 * double.frames)
    assert np.array_equal(rare.only_measured().frames, double.frames[double.frames % 5 == 4])
    assert (double.peak, rare.peak) == (2.0 * (NUM - 1), NUM - 1)


def test_a_short_run_is_kept_whole():
    log, peaks = CurveLog("value"), PeakLog()
    for frame in range(MAX_KEPT):
        log.add(frame, (1.0,))
        peaks.add(frame, 1.0)
    assert len(log.curve("value").frames) == len(peaks.curve().frames) == MAX_KEPT
    assert CurveLog("value").curve("value").is_empty and PeakLog().curve().is_empty


def test_marks_are_counted_beyond_those_that_are_listed():
    log = MarkLog()
    for frame in range(MAX_MARKS + 10):
        log.add(Mark(frame, "skipped", 0.0, ""))
    log.add(Mark(99, "rollback", 3.0, "loss above its band"))
    marks = log.marks()
    assert marks.counts == {"skipped": MAX_MARKS + 10, "rollback": 1}
    assert len(marks.listed) == MAX_MARKS + 1 and marks.listed[-1].kind == "rollback"


def test_more_visits_than_can_be_drawn_become_one_without_a_name():
    log = SpanLog()
    for frame in range(2 * MAX_SPANS):
        log.add(frame, ("clear", "rain_25mm")[frame // 2 % 2])
    assert len(log.spans()) == MAX_SPANS and log.spans()[1] == Span("rain_25mm", 2, 3)
    log.add(2 * MAX_SPANS, "fog")
    log.add(2 * MAX_SPANS + 1, "clear")
    assert log.spans() == (Span("", 0, 2 * MAX_SPANS + 1),)
