import math

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from runtime import events
from runtime.metrics import Metrics
from runtime.shares import agreement, class_shares
from tests.fakes import (
    CLASSES,
    ManualClock,
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

# Name, type and label names of everything a scrape shows: dashboards and alerts depend on each of them.
GOLDEN = {
    "udaseg_adapt_cost_ratio": ("gauge", set()),
    "udaseg_adapt_frames_gated": ("counter", {"reason"}),
    "udaseg_adapt_learning_rate": ("gauge", set()),
    "udaseg_adapt_loss": ("gauge", set()),
    "udaseg_adapt_step_duration_seconds": ("histogram", set()),
    "udaseg_adapt_steps": ("counter", {"outcome"}),
    "udaseg_build_info": ("gauge", {"version"}),
    "udaseg_checkpoint_last_success_timestamp_seconds": ("gauge", set()),
    "udaseg_checkpoint_duration_seconds": ("histogram", set()),
    "udaseg_checkpoints": ("counter", {"outcome"}),
    "udaseg_class_pixels_ratio": ("gauge", {"class"}),
    "udaseg_component_restarts": ("counter", {"component"}),
    "udaseg_deadline_missed": ("counter", {"stream"}),
    "udaseg_device_memory_bytes": ("gauge", {"kind"}),
    "udaseg_domain_shift_score": ("gauge", {"stream"}),
    "udaseg_domain_shifted": ("gauge", {"stream"}),
    "udaseg_domain_shifts": ("counter", {"stream", "kind"}),
    "udaseg_exceptions": ("counter", {"component"}),
    "udaseg_frame_age_seconds": ("histogram", {"stream"}),
    "udaseg_frame_latency_seconds": ("histogram", {"stream"}),
    "udaseg_frames_captured": ("counter", {"stream"}),
    "udaseg_frames_dropped": ("counter", {"stream", "reason"}),
    "udaseg_frames_in_flight": ("gauge", {"stream"}),
    "udaseg_frames_predicted": ("counter", {"stream"}),
    "udaseg_governor_level": ("gauge", set()),
    "udaseg_governor_transitions": ("counter", {"direction", "reason"}),
    "udaseg_heartbeat_timestamp_seconds": ("gauge", {"component"}),
    "udaseg_miou_ratio": ("gauge", {"stream", "window", "model"}),
    "udaseg_model_published_timestamp_seconds": ("gauge", set()),
    "udaseg_model_version": ("gauge", set()),
    "udaseg_prediction_confidence_ratio": ("gauge", {"stream"}),
    "udaseg_prediction_entropy_nats": ("gauge", {"stream"}),
    "udaseg_queue_depth": ("gauge", {"queue"}),
    "udaseg_replay_bytes": ("gauge", set()),
    "udaseg_serving_adapted": ("gauge", set()),
    "udaseg_trust_changes": ("counter", {"to"}),
    "udaseg_recalls": ("counter", {"outcome"}),
    "udaseg_rollbacks": ("counter", {"cause"}),
    "udaseg_run_info": ("gauge", {"stream", "method", "model", "device", "pace", "seed"}),
    "udaseg_source_agreement_ratio": ("gauge", {"stream"}),
    "udaseg_stage_duration_seconds": ("histogram", {"stage"}),
    "udaseg_stream_last_frame_timestamp_seconds": ("gauge", {"stream"}),
    "udaseg_weight_publications": ("counter", set()),
}


def make_metrics(**changes):
    registry = CollectorRegistry()
    options = {"stream": "rain_sequence", "classes": CLASSES, "build": {"version": "0.1.0"}} | changes
    return registry, Metrics(registry, **options)


def test_a_scrape_shows_exactly_the_documented_metrics():
    _, metrics = make_metrics()
    metrics.watch_queue("inbox", lambda: 3)
    metrics.watch_worker("learner", lambda: 0.0)
    metrics.observe(make_run_started())
    content_type, body = metrics.exposition()
    assert content_type.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        if family.name.startswith("udaseg_") and not family.name.endswith("_created"):
            found[family.name] = (family.type, {label for s in family.samples for label in s.labels} - {"le"})
            assert family.documentation
    assert found == GOLDEN


def test_openmetrics_is_spoken_when_asked_for():
    _, metrics = make_metrics()
    content_type, body = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_two_instances_count_apart():
    first_registry, first = make_metrics()
    second_registry, second = make_metrics()
    first.observe(events.FrameCaptured(0, 100.0))
    labels = {"stream": "rain_sequence"}
    assert first_registry.get_sample_value("udaseg_frames_captured_total", labels) == 1
    assert second_registry.get_sample_value("udaseg_frames_captured_total", labels) == 0
    assert second is not first


def test_captured_is_predicted_plus_dropped_plus_in_flight_at_every_event():
    registry, metrics = make_metrics()
    story = [events.FrameCaptured(i, 100.0) for i in range(4)]
    story += [make_prediction(make_frame(0)), events.FrameDropped(1, "stale", 100.0), make_prediction(make_frame(2))]
    story += [events.FrameDropped(3, "struck by lightning", 100.0)]
    in_flight = []
    for event in story:
        metrics.observe(event)
        values = {sample.name: 0.0 for family in registry.collect() for sample in family.samples}
        for family in registry.collect():
            for sample in family.samples:
                values[sample.name] += sample.value
        in_flight.append(values["udaseg_frames_in_flight"])
        assert values["udaseg_frames_captured_total"] == (
            values["udaseg_frames_predicted_total"]
            + values["udaseg_frames_dropped_total"]
            + values["udaseg_frames_in_flight"]
        )
    assert in_flight == [1, 2, 3, 4, 3, 2, 1, 0]
    assert registry.get_sample_value("udaseg_frames_dropped_total", {"stream": "rain_sequence", "reason": "other"}) == 1


def test_a_frame_dropped_twice_shows_as_a_broken_law():
    registry, metrics = make_metrics()
    metrics.observe(events.FrameCaptured(0, 100.0))
    metrics.observe(events.FrameDropped(0, "stale", 100.0))
    metrics.observe(events.FrameDropped(0, "stale", 100.0))
    labels = {"stream": "rain_sequence"}
    assert registry.get_sample_value("udaseg_frames_in_flight", labels) == 0
    assert registry.get_sample_value("udaseg_frames_dropped_total", labels | {"reason": "stale"}) == 2


def test_latency_counts_as_on_time_up_to_exactly_one_period():
    registry, metrics = make_metrics()
    metrics.observe(make_run_started(stream_fps=10.0))
    metrics.observe(make_prediction(make_frame(0, at_s=0.0), wait_s=0.05, inference_s=0.05))
    metrics.observe(make_prediction(make_frame(1, at_s=0.0), wait_s=0.05, inference_s=0.0625))
    labels = {"stream": "rain_sequence"}
    assert registry.get_sample_value("udaseg_frame_latency_seconds_bucket", labels | {"le": "0.1"}) == 1
    assert registry.get_sample_value("udaseg_frame_latency_seconds_count", labels) == 2
    assert registry.get_sample_value("udaseg_deadline_missed_total", labels) == 1


@pytest.mark.parametrize("pace", ["max", "lockstep"])
def test_only_live_runs_have_a_deadline(pace):
    registry, metrics = make_metrics()
    metrics.observe(make_run_started(pace=pace))
    metrics.observe(make_prediction(wait_s=5.0))
    assert registry.get_sample_value("udaseg_deadline_missed_total", {"stream": "rain_sequence"}) == 0


def test_steps_publish_versions_and_refused_ones_do_not():
    clock = ManualClock(1000.0)
    registry, metrics = make_metrics(wall_clock=clock)
    metrics.observe(make_run_started())
    clock.advance(5)
    metrics.observe(make_step(version=1))
    clock.advance(5)
    metrics.observe(make_step(outcome="refused_guard", version=1))
    metrics.observe(events.AdaptationStep(3, "nonfinite", math.nan, 3e-4, 0.04, 1, 100.0))
    assert registry.get_sample_value("udaseg_adapt_steps_total", {"outcome": "applied"}) == 1
    assert registry.get_sample_value("udaseg_adapt_steps_total", {"outcome": "nonfinite"}) == 1
    assert registry.get_sample_value("udaseg_weight_publications_total") == 1
    assert registry.get_sample_value("udaseg_model_version") == 1
    assert registry.get_sample_value("udaseg_model_published_timestamp_seconds") == 1005
    assert registry.get_sample_value("udaseg_adapt_loss") == 0.7
    metrics.observe(events.Rollback(4, 0, "guard", 100.0))
    assert registry.get_sample_value("udaseg_model_version") == 0


def test_versions_are_counted_whatever_published_them():
    registry, metrics = make_metrics()
    metrics.observe(make_run_started())
    metrics.observe(events.RunResumed(10, 4, 1.0))
    assert registry.get_sample_value("udaseg_weight_publications_total") == 0
    for event, version, published in (
        (events.TrustChanged(11, False, 0.99, 0, 1.0), 0, 0),
        (events.TrustChanged(12, True, 0.5, 5, 1.0), 5, 1),
        (events.Recall(13, 1, 0.1, 6, 1.0, ""), 6, 2),
        (make_prediction(version=7), 7, 3),
        (make_prediction(version=6), 7, 3),
        (make_step(version=8), 8, 4),
    ):
        metrics.observe(event)
        assert registry.get_sample_value("udaseg_model_version") == version
        assert registry.get_sample_value("udaseg_weight_publications_total") == published


def test_rollbacks_are_counted_by_what_made_them_necessary():
    registry, metrics = make_metrics()
    for cause in ("refused_guard", "nonfinite", "error", "oom", "refused_guard", "restart", "new"):
        metrics.observe(events.Rollback(4, 0, "said in words", 100.0, cause))
    counts = {"refused_guard": 2, "nonfinite": 1, "error": 1, "oom": 1, "restart": 1, "other": 1}
    for cause, count in counts.items():
        assert registry.get_sample_value("udaseg_rollbacks_total", {"cause": cause}) == count


def test_what_the_model_says_of_itself():
    registry, metrics = make_metrics()
    prediction = make_prediction()
    metrics.observe(prediction)
    metrics.observe(make_shadow(prediction, agreeing_rows=24))
    labels = {"stream": "rain_sequence"}
    assert registry.get_sample_value("udaseg_prediction_confidence_ratio", labels) == 0.75
    assert registry.get_sample_value("udaseg_prediction_entropy_nats", labels) == 0.5
    assert registry.get_sample_value("udaseg_source_agreement_ratio", labels) == 0.75
    assert registry.get_sample_value("udaseg_class_pixels_ratio", {"class": "sidewalk"}) == 1
    assert registry.get_sample_value("udaseg_class_pixels_ratio", {"class": "road"}) == 0


def test_scores_appear_where_there_are_labels_and_are_nan_without():
    registry, metrics = make_metrics(scores=make_scores)
    labels = {"stream": "rain_sequence", "window": "recent", "model": "adapted"}
    assert math.isnan(registry.get_sample_value("udaseg_miou_ratio", labels))
    metrics.observe(make_run_finished())
    assert registry.get_sample_value("udaseg_miou_ratio", labels) == 0.30
    assert registry.get_sample_value("udaseg_miou_ratio", labels | {"window": "cumulative", "model": "frozen"}) == 0.37


def test_rare_events_and_watched_values():
    clock = ManualClock(1000.0)
    registry, metrics = make_metrics(wall_clock=clock)
    queue = [1, 2, 3]
    metrics.watch_queue("inbox", lambda: len(queue))
    metrics.watch_worker("learner", lambda: 4.0)
    metrics.watch_replay(lambda: 48e6)
    metrics.watch_device_memory(lambda: 1e9)
    for event in (
        events.ShiftScore(1, 1.5, True, 100.0),
        events.ShiftEvent(1, "away", 1.5, "rain_50mm", 100.0),
        make_governor_changed(2),
        make_governor_changed(1, reason="calm"),
        events.CheckpointSaved(3, "", 100.0),
        events.CheckpointSaved(4, "disk full", 100.0),
        events.Fault("learner", "out of memory", 100.0),
        events.WorkerChanged("learner", "restarted", 100.0),
        events.WorkerChanged("capture", "stale", 100.0),
    ):
        metrics.observe(event)
    queue.pop()
    stream = {"stream": "rain_sequence"}
    assert registry.get_sample_value("udaseg_domain_shift_score", stream) == 1.5
    assert registry.get_sample_value("udaseg_domain_shifted", stream) == 1
    assert registry.get_sample_value("udaseg_domain_shifts_total", stream | {"kind": "away"}) == 1
    assert registry.get_sample_value("udaseg_governor_level") == 1
    for move in ({"direction": "shed", "reason": "late"}, {"direction": "resume", "reason": "calm"}):
        assert registry.get_sample_value("udaseg_governor_transitions_total", move) == 1
    assert registry.get_sample_value("udaseg_checkpoints_total", {"outcome": "error"}) == 1
    assert registry.get_sample_value("udaseg_checkpoint_last_success_timestamp_seconds") == 1000
    assert registry.get_sample_value("udaseg_exceptions_total", {"component": "learner"}) == 1
    assert registry.get_sample_value("udaseg_component_restarts_total", {"component": "learner"}) == 1
    assert registry.get_sample_value("udaseg_component_restarts_total", {"component": "capture"}) == 0
    assert registry.get_sample_value("udaseg_heartbeat_timestamp_seconds", {"component": "learner"}) == 996
    assert registry.get_sample_value("udaseg_queue_depth", {"queue": "inbox"}) == 2
    assert registry.get_sample_value("udaseg_replay_bytes") == 48e6
    assert registry.get_sample_value("udaseg_device_memory_bytes", {"kind": "allocated"}) == 1e9


def test_the_cost_of_learning_is_its_share_of_the_time_lately():
    registry, metrics = make_metrics()
    for index in range(300):
        at_s = 100.0 + index / 10
        metrics.observe(make_prediction(make_frame(index, at_s=at_s)))
        metrics.observe(make_step(index, at_s=at_s + 0.07))  # 40 ms each
        if index == 149:
            assert registry.get_sample_value("udaseg_adapt_cost_ratio") == pytest.approx(0.4, rel=0.02)
    for index in range(300, 420):
        metrics.observe(make_prediction(make_frame(index, at_s=100.0 + index / 10)))
    assert registry.get_sample_value("udaseg_adapt_cost_ratio") == 0.0


def test_shares_of_a_large_map_are_within_a_point():
    rng = np.random.default_rng(0)
    labels_HW = rng.integers(0, 3, (1024, 2048), dtype=np.uint8)
    labels_HW[:512] = 0
    exact = [float(np.mean(labels_HW == k)) for k in range(3)]
    assert class_shares(labels_HW, 3) == pytest.approx(exact, abs=0.01)
    other_HW = np.where(np.arange(2048) < 512, labels_HW, 255).astype(np.uint8)
    assert agreement(labels_HW, other_HW) == pytest.approx(0.25, abs=0.01)


def test_recalls_are_counted_by_outcome():
    registry, metrics = make_metrics()
    for refusal in ("", "", "non-finite weights"):
        metrics.observe(make_recall(refusal=refusal))
    counts = [registry.get_sample_value("udaseg_recalls_total", {"outcome": o}) for o in ("taken_up", "refused")]
    assert counts == [2, 1]
