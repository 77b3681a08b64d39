"""Prometheus metrics: events in, text exposition out. With `metric_parts.py` the only file to know prometheus_client.

Names have the prefix `udaseg_`, base units, and labels from closed sets (a value outside its set counts as "other").
What no event carries (queue depth, replay size, device memory) is watched through callables, called at every scrape.

    metrics = Metrics(CollectorRegistry(), stream="rain_sequence", classes=names)
    metrics.observe(event)                            # every event, one thread at a time
    content_type, body = metrics.exposition(accept)   # any thread
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, ProcessCollector
from prometheus_client import Counter as TotalCounter
from prometheus_client.exposition import choose_encoder

from runtime import events
from runtime.cost import RecentCost
from runtime.frame_accounts import FrameAccounts
from runtime.label_sets import (
    COMPONENTS,
    DROP_REASONS,
    GATE_REASONS,
    OTHER,
    PUBLISHING_OUTCOMES,
    ROLLBACK_CAUSES,
    SHED_REASONS,
    SHIFT_KINDS,
    STEP_OUTCOMES,
    WORKERS,
)
from runtime.metric_parts import FrameCollector, Maker, child_of
from runtime.observer import Event
from runtime.scores import ScoresSource, no_scores
from runtime.shares import agreement, class_shares

# Edges are frame periods (120, 80, 60, 40, 30, 25, 20, 15, 10 fps and on), so that "within one period" is exact.
LATENCY_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.0083, 0.0125, 0.0167, 0.025, 0.0333, 0.04),
    *(0.05, 0.0667, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0),
)
SLOW_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

SCORES_EVERY = 10  # predictions between two readings of the scores


class Metrics:
    """Observer that keeps the metrics of one stream in `registry`; two of them live side by side in two registries.

    `scores` is called on the observing thread. `build` labels `udaseg_build_info` (version, torch, ...).
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        stream: str,
        classes: Sequence[str],
        scores: ScoresSource = no_scores,
        build: Mapping[str, str] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._scores = scores
        self._wall_clock = wall_clock
        self._deadline_s = math.inf
        self._version, self._newest = -1, 0
        self._level = 0
        self._num_predictions = 0
        self._frames = FrameAccounts(DROP_REASONS)
        self._cost = RecentCost()
        registry.register(FrameCollector(stream, self._frames))
        ProcessCollector(registry=registry)
        Info("udaseg_build", "What is running.", registry=registry).info(dict(build or {}))
        self._run_info = Info("udaseg_run", "What it was asked to do.", registry=registry)
        self._declare_frames(Maker(registry, {"stream": stream}))
        self._declare_quality(Maker(registry, {"stream": stream}), classes)
        self._declare_learning(Maker(registry, {}))

    def observe(self, event: Event) -> None:
        """Count one event."""
        match event:
            case events.Prediction():
                self._observe_prediction(event)
            case events.FrameCaptured(index=index):
                self._frames.captured(index)
                self._last_frame_at.set(self._wall_clock())
            case events.FrameGated(reason=reason):
                child_of(self._gated, reason).inc()
            case events.FrameDropped(index=index, reason=reason):
                self._frames.dropped(index, reason if reason in DROP_REASONS else OTHER)
            case events.ShadowPrediction():
                self._shadow.observe(event.duration_s)
                self._agreement.set(agreement(event.labels_HW, event.served_labels_HW))
            case events.ShiftScore(score=score, is_shifted=is_shifted):
                self._shift_score.set(score)
                self._shifted.set(is_shifted)
            case events.ShiftEvent(kind=kind):
                child_of(self._shifts, kind).inc()
            case events.AdaptationStep():
                self._observe_step(event)
            case events.Rollback(version=version, cause=cause):
                child_of(self._rollbacks, cause).inc()
                self._show_version(version)
            case events.TrustChanged(is_adapted=is_adapted, version=version):
                self._serving_adapted.set(is_adapted)
                self._trust_moves["adapted" if is_adapted else "frozen"].inc()
                self._show_version(version)
            case events.Recall(refusal=refusal, version=version):
                self._recalls["refused" if refusal else "taken_up"].inc()
                self._show_version(version)
            case events.GovernorChanged(level=level, reason=reason):
                direction = "shed" if level > self._level else "resume"
                self._governor_moves.labels(direction, reason if reason in (*SHED_REASONS, "calm") else OTHER).inc()
                self._level = level
                self._governor_level.set(level)
            case events.CheckpointSaved(error=error, duration_s=duration_s):
                self._checkpoints["error" if error else "saved"].inc()
                if not error:
                    self._checkpoint_at.set(self._wall_clock())
                    self._checkpoint_s.observe(duration_s)
            case events.RunResumed(version=version):
                self._newest = version  # published by the run before
                self._show_version(version)
            case events.Fault(component=component):
                child_of(self._exceptions, component).inc()
            case events.WorkerChanged(component=component, state="restarted"):
                self._restarts[component].inc()
            case events.RunStarted():
                self._observe_start(event)
            case events.RunFinished():
                self._read_scores()

    def watch_queue(self, name: str, depth: Callable[[], float]) -> None:
        """Show `depth()` as the depth of queue `name`; called at every scrape, on the scraping thread."""
        self._queue_depth.labels(name).set_function(depth)

    def watch_worker(self, component: str, silence_s: Callable[[], float]) -> None:
        """Show that `component` last gave a sign of life `silence_s()` ago."""
        self._heartbeat_at.labels(component).set_function(lambda: self._wall_clock() - silence_s())

    def watch_replay(self, num_bytes: Callable[[], float]) -> None:
        """Show `num_bytes()` as the size of the replay buffer."""
        self._replay_bytes.set_function(num_bytes)

    def watch_device_memory(self, num_bytes: Callable[[], float]) -> None:
        """Show `num_bytes()` as memory allocated on the accelerator."""
        self._device_memory.set_function(num_bytes)

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body of a scrape, in the format an Accept header asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def _declare_frames(self, make: Maker) -> None:
        self._latency = make.histogram("frame_latency_seconds", "From capture to result.", LATENCY_BUCKETS_S)
        self._age = make.histogram("frame_age_seconds", "Age of a frame as its inference starts.", LATENCY_BUCKETS_S)
        stages = Histogram(
            "udaseg_stage_duration_seconds",
            "Time by stage: forward (the served model), shadow (the frozen model, off the serving path).",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=make.registry,
        )
        self._forward, self._shadow = stages.labels("forward"), stages.labels("shadow")
        self._missed = make.counter("deadline_missed", "Results later than one frame period, live pace only.")
        self._last_frame_at = make.gauge("stream_last_frame_timestamp_seconds", "When the newest frame was captured.")
        self._queue_depth = Gauge("udaseg_queue_depth", "Items waiting.", ["queue"], registry=make.registry)

    def _declare_quality(self, make: Maker, classes: Sequence[str]) -> None:
        self._entropy = make.gauge("prediction_entropy_nats", "Mean entropy per pixel.")
        self._confidence = make.gauge("prediction_confidence_ratio", "Mean top-1 probability.")
        self._agreement = make.gauge("source_agreement_ratio", "Share of pixels where frozen and served agree.")
        shares = Gauge("udaseg_class_pixels_ratio", "Share of predicted pixels.", ["class"], registry=make.registry)
        self._class_shares = [shares.labels(name) for name in classes]
        miou = Gauge(
            "udaseg_miou_ratio", "Mean IoU, nan without labels.", ["stream", "window", "model"], registry=make.registry
        )
        pairs = [(window, model) for window in ("cumulative", "recent") for model in ("adapted", "frozen")]
        self._miou = [miou.labels(make.labels["stream"], window, model) for window, model in pairs]
        for unknown in (self._agreement, *self._miou):
            unknown.set(math.nan)
        self._shift_score = make.gauge("domain_shift_score", "Distance from source; 1 is the edge of the source.")
        self._shifted = make.gauge("domain_shifted", "1 while the stream is away from source.")
        self._shifts = make.counters("domain_shifts", "Detected changes of the input.", "kind", SHIFT_KINDS)

    def _declare_learning(self, make: Maker) -> None:
        self._gated = make.counters("adapt_frames_gated", "Frames kept from learning.", "reason", GATE_REASONS)
        self._steps = make.counters("adapt_steps", "Attempts to learn.", "outcome", STEP_OUTCOMES)
        self._step_s = make.histogram("adapt_step_duration_seconds", "Time of one attempt to learn.", SLOW_BUCKETS_S)
        self._loss = make.gauge("adapt_loss", "Loss of the last step that computed one.")
        self._learning_rate = make.gauge("adapt_learning_rate", "Learning rate of the last step.")
        self._model_version = make.gauge("model_version", "Newest published version.")
        self._published_at = make.gauge("model_published_timestamp_seconds", "When that version was published.")
        self._publications = make.counter("weight_publications", "Versions published.")
        self._rollbacks = make.counters("rollbacks", "Times learning was undone.", "cause", ROLLBACK_CAUSES)
        self._serving_adapted = make.gauge("serving_adapted", "1 while learnt weights serve, 0 while the source's do.")
        self._trust_moves = make.counters("trust_changes", "Changes of what serves.", "to", ("adapted", "frozen"))
        self._recalls = make.counters("recalls", "Known domains that returned.", "outcome", ("taken_up", "refused"))
        self._replay_bytes = make.gauge("replay_bytes", "Size of the replay buffer.")
        self._device_memory = Maker(make.registry, {"kind": "allocated"}).gauge("device_memory_bytes", "Memory.")
        self._governor_level = make.gauge("governor_level", "0 is full adaptation; higher sheds more of it.")
        self._governor_moves = TotalCounter(
            "udaseg_governor_transitions", "Changes of it.", ["direction", "reason"], registry=make.registry
        )
        for direction, reason in [*(("shed", reason) for reason in SHED_REASONS), ("resume", "calm")]:
            self._governor_moves.labels(direction, reason)  # there from the start, at 0
        self._cost_share = make.gauge("adapt_cost_ratio", "Seconds of learning per second of stream, lately.")
        self._checkpoints = make.counters("checkpoints", "Checkpoints written.", "outcome", ("saved", "error"))
        self._checkpoint_s = make.histogram("checkpoint_duration_seconds", "Disk time of one.", SLOW_BUCKETS_S)
        self._checkpoint_at = make.gauge("checkpoint_last_success_timestamp_seconds", "Newest one's, nan before.")
        self._checkpoint_at.set(math.nan)
        self._heartbeat_at = Gauge(
            "udaseg_heartbeat_timestamp_seconds", "Last sign of life.", ["component"], registry=make.registry
        )
        self._restarts = make.counters("component_restarts", "Taken up again after a failure.", "component", WORKERS)
        self._exceptions = make.counters("exceptions", "Failures survived.", "component", COMPONENTS)

    def _observe_start(self, event: events.RunStarted) -> None:
        run = {"stream": event.stream, "method": event.method, "model": event.model, "device": event.device}
        self._run_info.info({**run, "pace": event.pace, "seed": str(event.seed)})
        if event.pace == "live" and event.stream_fps > 0:
            self._deadline_s = 1.0 / event.stream_fps
        self._show_version(0)

    def _observe_prediction(self, event: events.Prediction) -> None:
        self._frames.predicted(event.frame.index)
        self._latency.observe(event.latency_s)
        self._age.observe(event.started_at_s - event.frame.captured_at_s)
        self._forward.observe(event.inference_s)
        self._cost_share.set(self._cost.share(event.finished_at_s))
        if event.latency_s > self._deadline_s:
            self._missed.inc()
        self._entropy.set(event.entropy_nats)
        self._confidence.set(event.confidence)
        shares = class_shares(event.labels_HW, len(self._class_shares))
        for child, share in zip(self._class_shares, shares, strict=True):
            child.set(share)
        if event.version > self._newest:  # how much of what was learnt serves may change without a word
            self._show_version(event.version)
        self._num_predictions += 1
        if self._num_predictions % SCORES_EVERY == 0:
            self._read_scores()

    def _observe_step(self, event: events.AdaptationStep) -> None:
        child_of(self._steps, event.outcome).inc()
        self._step_s.observe(event.duration_s)
        self._cost.add(event.at_s, event.duration_s)
        self._learning_rate.set(event.learning_rate)
        if not math.isnan(event.loss):
            self._loss.set(event.loss)
        if event.outcome in PUBLISHING_OUTCOMES:
            self._show_version(event.version)

    def _show_version(self, version: int) -> None:
        """Whatever told of it: a step, a domain that returned, trust that moved."""
        if version == self._version:
            return
        if version > self._newest:
            self._publications.inc()
            self._newest = version
        self._version = version
        self._model_version.set(version)
        self._published_at.set(self._wall_clock())

    def _read_scores(self) -> None:
        scores = self._scores()
        if scores is None:
            return
        ratios = (scores.miou, scores.miou_frozen, scores.recent_miou, scores.recent_miou_frozen)
        for child, value in zip(self._miou, ratios, strict=True):
            child.set(value)


def new_registry() -> CollectorRegistry:
    """A registry of its own for one run; the library's global one would not survive a second run in one process."""
    return CollectorRegistry()
