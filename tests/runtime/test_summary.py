import json

import pytest

from runtime import events
from runtime.json_values import plain, to_json
from runtime.summary import SummaryBuilder, describe_environment
from tests.fakes import (
    make_frame,
    make_governor_changed,
    make_prediction,
    make_recall,
    make_run_finished,
    make_run_started,
    make_scores,
    make_shadow,
    make_step,
)

KEYS = {
    "": "schema stream method model device seed pace size wall_s frames fps latency_ms adaptation shifts quality "
    "memory environment",
    "frames": "captured predicted in_flight dropped",
    "fps": "stream end_to_end",
    "latency_ms": "capture_to_result inference frozen_inference",
    "adaptation": "steps_applied steps_refused rollbacks recalls step_ms duty trainable_parameters total_parameters "
    "first_version last_version frozen_digest_before frozen_digest_after levels",
    "quality": "classes miou miou_frozen domains hmean hmean_frozen worst_drop negative_window_share recovery_frames",
    "memory": "peak_rss_mb peak_device_mb replay_mb",
    "environment": "python torch device_name cpu_count package_version",
}


ENVIRONMENT = {"python": "3", "torch": "2", "device_name": "cpu", "cpu_count": 2, "package_version": "1"}


def played():
    builder = SummaryBuilder(ENVIRONMENT)
    builder.observe(make_run_started())
    play_frames(builder, range(100))
    builder.observe(events.FrameCaptured(100, 10.0))
    builder.observe(events.FrameDropped(100, "stale", 10.0))
    for outcome in ("applied", "applied", "applied", "refused_guard", "nonfinite", "relaxed"):
        builder.observe(make_step(outcome=outcome))
    builder.observe(events.Rollback(50, 3, "nonfinite", 5.0))
    for num_forwards in (2, 1):
        builder.observe(events.Weighed(50, 0.5, num_forwards, 5.0))
    builder.observe(events.StatisticsTaken(50, 1.0, 4, 5.0))
    builder.observe(events.ShiftEvent(60, "away", 1.25, "rain_25mm", 6.0))
    for refusal in ("", "", "non-finite weights"):
        builder.observe(make_recall(refusal=refusal))
    builder.observe(events.Fault("learner", "out of memory", 6.0))
    return builder


def test_frames_and_time_are_told_for_every_level_stood_on():
    builder = SummaryBuilder(ENVIRONMENT)
    play_frames(builder, range(100))
    builder.observe(make_governor_changed(1))
    play_frames(builder, range(100, 130))
    builder.observe(make_governor_changed(0, reason="calm"))
    play_frames(builder, range(130, 150))
    levels = builder.build(None)["adaptation"]["levels"]
    assert list(levels) == ["full", "rate"]
    assert [levels[name]["frames"] for name in levels] == [120, 30]
    assert [levels[name]["seconds"] for name in levels] == pytest.approx([11.9, 3.0], abs=0.2)
    again = SummaryBuilder(ENVIRONMENT)
    again.load_state(builder.state())
    assert again.build(None)["adaptation"]["levels"] == levels


def play_frames(builder, indices):
    for index in indices:
        prediction = make_prediction(
            make_frame(index, at_s=index / 10), version=index // 2, inference_s=(index + 1) / 1e3
        )
        builder.observe(events.FrameCaptured(index, index / 10))
        builder.observe(prediction)
        builder.observe(make_shadow(prediction))


def test_summary_has_the_documented_keys_and_is_strict_json():
    builder = played()
    builder.observe(make_run_finished())
    summary = json.loads(to_json(builder.build(make_scores())))
    for section, keys in KEYS.items():
        found = summary if section == "" else summary[section]
        assert set(keys.split()) <= set(found), section
    assert summary["schema"] == 1 and summary["size"] == "32x64"
    assert summary["frames"]["dropped"] == {"stale": 1}
    assert summary["frames"]["captured"] == summary["frames"]["predicted"] + 1
    assert summary["fps"] == {"stream": 10.0, "end_to_end": 10.0}
    assert summary["shifts"] == [{"frame": 60, "kind": "away", "score": 1.25, "true_domain": "rain_25mm"}]
    assert summary["memory"]["replay_mb"] == 48.0


def test_percentiles_are_over_all_samples():
    summary = played().build(None)
    inference = summary["latency_ms"]["inference"]
    # 1..100 ms, linear interpolation between ranks (Hyndman and Fan 1996, type 7), to half a percent.
    assert inference == pytest.approx({"p50": 50.5, "p95": 95.05, "p99": 99.01, "max": 100.0}, rel=0.005)
    assert inference["max"] == pytest.approx(100.0, rel=1e-9)
    assert summary["latency_ms"]["frozen_inference"]["p50"] == pytest.approx(15.0, rel=0.005)


def test_adaptation_counts_by_outcome_and_duty():
    builder = played()
    builder.observe(make_run_finished(wall_s=10.0))
    adaptation = builder.build(None)["adaptation"]
    assert (adaptation["steps_applied"], adaptation["steps_refused"], adaptation["rollbacks"]) == (3, 2, 1)
    assert adaptation["recalls"] == 2
    assert adaptation["all_forwards_per_frame"] - adaptation["forwards_per_frame"] == pytest.approx(4 / 100)
    assert adaptation["duty"] == pytest.approx(6 * 0.04 / 10.0)
    assert (adaptation["first_version"], adaptation["last_version"]) == (0, 49)
    assert set(adaptation["step_ms"]) == {"p50", "p95", "p99"}


def test_quality_is_in_points_and_null_without_labels():
    summary = played().build(make_scores())
    quality = summary["quality"]
    assert quality["hmean"] == pytest.approx(37.5)
    assert quality["domains"][0] == pytest.approx(
        {"name": "clear", "visit": 0, "first_frame": 0, "frames": 75, "compared": 15, "miou": 50.0, "miou_frozen": 50.5}
    )
    assert quality["classes"][2] == {"name": "building", "iou": None, "iou_frozen": None}
    assert quality["recovery_frames"] == [12, None]
    assert played().build(None)["quality"] is None


def test_a_run_that_never_began_has_a_summary_too():
    summary = SummaryBuilder({}).build(None)
    assert summary["latency_ms"]["capture_to_result"] == {"p50": None, "p95": None, "p99": None, "max": None}
    assert summary["latency_ms"]["frozen_inference"] is None
    assert summary["wall_s"] is None and summary["fps"]["end_to_end"] is None
    assert summary["adaptation"]["first_version"] is None


def test_frames_still_owed_count_as_in_flight_when_the_end_was_not_seen():
    builder = SummaryBuilder({})
    builder.observe(make_run_started())
    builder.observe(events.FrameCaptured(0, 0.0))
    assert builder.build(None)["frames"]["in_flight"] == 1


def test_environment_names_what_was_used():
    assert set(KEYS["environment"].split()) == set(describe_environment("cpu"))


def test_json_refuses_arrays():
    with pytest.raises(TypeError, match="no JSON for ndarray"):
        plain({"labels": make_frame().label_HW})


def test_a_run_taken_up_again_ends_with_the_summary_of_one_that_was_never_interrupted():
    whole, first = played(), played()
    first.observe(events.FrameCaptured(101, 10.1))  # in flight when the process is killed: captured again below
    second = SummaryBuilder(ENVIRONMENT)
    second.load_state(first.state())
    second.observe(make_run_started())
    for builder in (whole, second):
        play_frames(builder, range(101, 120))
        builder.observe(events.Rollback(119, 3, "nonfinite", 12.0))
        builder.observe(events.ShiftEvent(119, "return", 0.5, None, 12.0))
    taken_up, uninterrupted = second.build(make_scores()), whole.build(make_scores())
    assert taken_up["adaptation"]["recalls"] == 2
    assert taken_up["adaptation"]["all_forwards_per_frame"] == uninterrupted["adaptation"]["all_forwards_per_frame"]
    for times in ("wall_s", "fps", "adaptation"):  # the time between kill and resume is nobody's
        taken_up.pop(times), uninterrupted.pop(times)
    assert taken_up == uninterrupted
    assert taken_up["frames"]["captured"] == 120 and len(taken_up["shifts"]) == 2


def test_wall_time_of_a_run_taken_up_again_is_that_of_both_parts():
    second = SummaryBuilder(ENVIRONMENT)
    second.load_state(played().state())
    assert second.build(None)["wall_s"] == pytest.approx(9.9 + 0.11)  # the first part's frames, to their last answer
    second.observe(make_run_finished(wall_s=5.0))
    assert second.build(None)["wall_s"] == pytest.approx(15.01)


def test_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match="not the state of a summary"):
        SummaryBuilder({}).load_state({"buckets": 1})
