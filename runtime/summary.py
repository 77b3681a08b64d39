"""The figures a run ends with: events in, the contents of `summary.json` out.

A pure accumulator: no files, no clock, and a bounded size however long the run. Percentiles are over all samples, to
half a percent (`sketch.py`); counts, sums and greatest values are exact.
"""

import math
import os
import platform
from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType
from typing import Any, cast  # Any: JSON

from runtime import events
from runtime.cost import LevelAccounts
from runtime.json_values import plain
from runtime.observer import Event
from runtime.scores import POINTS, Scores
from runtime.sketch import QuantileSketch
from runtime.state import State

SCHEMA = 1
EFFECTIVE_OUTCOMES = ("applied", "shadowed", "relaxed")
MAX_SHIFTS = 256  # the first ones are listed; all are counted


def describe_environment(device_name: str) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "device_name": device_name,
        "cpu_count": os.cpu_count(),
        "package_version": metadata.version("udaseg-runtime"),
    }


class SummaryBuilder:
    """Observer that adds up a run; `build` may be called at any time, also for a run that failed early."""

    def __init__(self, environment: Mapping[str, Any]) -> None:
        self._environment = dict(environment)
        self._started: events.RunStarted | None = None
        self._finished: events.RunFinished | None = None
        self._num_captured = 0
        self._dropped: Counter[str] = Counter()
        self._gated: Counter[str] = Counter()
        self._latencies_ms = QuantileSketch()
        self._inferences_ms = QuantileSketch()
        self._shadows_ms = QuantileSketch()
        self._steps_ms = QuantileSketch()
        self._outcomes: Counter[str] = Counter()
        self._rollbacks = 0
        self._recalls = 0
        self._weighing_forwards = 0
        self._versions: tuple[int, int] | None = None
        self._answered_at_s = (math.nan, math.nan)
        self._earlier_s = 0.0  # wall time before this process took the run up
        self._num_shifts = 0
        self._shifts: list[tuple[int, str, float, str | None]] = []
        self._faults: Counter[str] = Counter()
        self._confidence_sum = 0.0
        self._levels = LevelAccounts()

    def observe(self, event: Event) -> None:
        """Add one event."""
        match event:
            case events.Prediction():
                self._add_prediction(event)
            case events.FrameCaptured():
                self._num_captured += 1
            case events.FrameDropped(reason=reason):
                self._dropped[reason] += 1
            case events.FrameGated(reason=reason):
                self._gated[reason] += 1
            case events.ShadowPrediction(duration_s=duration_s):
                self._shadows_ms.add(duration_s * 1e3)
            case events.AdaptationStep(outcome=outcome, duration_s=duration_s):
                self._outcomes[outcome] += 1
                self._steps_ms.add(duration_s * 1e3)
            case events.Rollback():
                self._rollbacks += 1
            case events.Recall(refusal=""):
                self._recalls += 1
            case events.Weighed(num_forwards=num_forwards) | events.StatisticsTaken(num_forwards=num_forwards):
                self._weighing_forwards += num_forwards
            case events.GovernorChanged(name=name):
                self._levels.moved(name)
            case events.ShiftEvent():
                self._num_shifts += 1
                if len(self._shifts) < MAX_SHIFTS:
                    self._shifts.append((event.frame_index, event.kind, event.score, event.true_domain))
            case events.Fault(component=component):
                self._faults[component] += 1
            case events.RunStarted():
                self._started = event
            case events.RunFinished():
                self._finished = event

    def build(
        self, scores: Scores | None, figures: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    ) -> dict[str, Any]:
        """The summary as JSON values (unknown figures are None); `figures` are added to the sections they name."""
        started, finished = self._started, self._finished
        wall_s = self._wall_s()
        num_predicted = len(self._latencies_ms)
        num_dropped = sum(self._dropped.values())
        owed = self._num_captured - num_predicted - num_dropped
        summary: dict[str, Any] = {
            "schema": SCHEMA,
            "stream": started and started.stream,
            "method": started and started.method,
            "track": started and started.track,
            "model": started and started.model,
            "device": started and started.device,
            "seed": started and started.seed,
            "pace": started and started.pace,
            "latency": started and started.latency,
            "size": started and f"{started.size_HW[0]}x{started.size_HW[1]}",
            "wall_s": wall_s,
            "ended": finished and finished.reason,
            "frames": {
                "captured": self._num_captured,
                "predicted": num_predicted,
                "in_flight": finished.in_flight if finished else owed,
                "dropped": dict(self._dropped),
                "stream_faults": dict(finished.stream_faults) if finished else {},
            },
            "fps": {
                "stream": started and started.stream_fps,
                "end_to_end": num_predicted / wall_s if wall_s > 0 else None,
            },
            "latency_ms": {
                "capture_to_result": percentiles(self._latencies_ms),
                "inference": percentiles(self._inferences_ms),
                "frozen_inference": percentiles(self._shadows_ms) if len(self._shadows_ms) else None,
            },
            "adaptation": self._adaptation(wall_s),
            "shifts": [
                {"frame": frame, "kind": kind, "score": score, "true_domain": domain}
                for frame, kind, score, domain in self._shifts
            ],
            "num_shifts": self._num_shifts,
            "quality": None if scores is None else quality(scores),
            "health": {"confidence": self._confidence_sum / num_predicted if num_predicted else None},
            "faults": dict(self._faults),
            "memory": {
                "peak_rss_mb": finished and finished.peak_rss_mb,
                "peak_device_mb": finished and finished.peak_device_mb,
                "replay_mb": finished and finished.replay_mb,
            },
            "environment": self._environment,
        }
        for section, more in figures.items():
            summary[section] = {**(summary.get(section) or {}), **more}
        json_values: dict[str, Any] = plain(summary)
        return json_values

    def state(self) -> State:
        """A copy of everything but how the run began and ended, which the run that goes on says itself.

        Frames in flight are left out: the run that goes on captures them anew.
        """
        wall_s = self._wall_s()
        return {
            "counts": {name: dict(counter) for name, counter in self._counters().items()},
            "times": {name: sketch.state() for name, sketch in self._sketches().items()},
            "rollbacks": self._rollbacks,
            "recalls": self._recalls,
            "weighing_forwards": self._weighing_forwards,
            "versions": None if self._versions is None else list(self._versions),
            "wall_s": 0.0 if math.isnan(wall_s) else wall_s,
            "num_shifts": self._num_shifts,
            "shifts": [list(shift) for shift in self._shifts],
            "confidence_sum": self._confidence_sum,
            "levels": self._levels.state(),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "counts": dict(counts),
                "times": dict(times),
                "rollbacks": int(rollbacks),
                "recalls": int(recalls),
                "weighing_forwards": int(weighing_forwards),
                "versions": list() | None as versions,
                "wall_s": float(wall_s),
                "num_shifts": int(num_shifts),
                "shifts": list(shifts),
                "confidence_sum": float(confidence_sum),
                "levels": dict(levels),
            }:
                for name, counter in self._counters().items():
                    counter.clear()
                    counter.update(cast(dict[str, int], counts[name]))
                for name, sketch in self._sketches().items():
                    sketch.load_state(cast(State, times[name]))
            case _:
                raise ValueError(f"not the state of a summary: it has the keys {sorted(state)}")
        self._levels.load_state(levels)
        self._num_captured = len(self._latencies_ms) + sum(self._dropped.values())
        self._recalls, self._weighing_forwards = recalls, weighing_forwards
        self._rollbacks, self._confidence_sum, self._earlier_s = rollbacks, confidence_sum, wall_s
        self._versions = None if versions is None else (versions[0], versions[1])
        self._num_shifts = num_shifts
        self._shifts = [(frame, kind, score, domain) for frame, kind, score, domain in shifts]

    def _counters(self) -> dict[str, Counter[str]]:
        return {"dropped": self._dropped, "gated": self._gated, "outcomes": self._outcomes, "faults": self._faults}

    def _sketches(self) -> dict[str, QuantileSketch]:
        return {
            "latency": self._latencies_ms,
            "inference": self._inferences_ms,
            "shadow": self._shadows_ms,
            "step": self._steps_ms,
        }

    def _add_prediction(self, event: events.Prediction) -> None:
        self._latencies_ms.add(event.latency_s * 1e3)
        self._inferences_ms.add(event.inference_s * 1e3)
        self._confidence_sum += event.confidence
        self._levels.answered(event.finished_at_s)
        first_version = event.version if self._versions is None else self._versions[0]
        self._versions = (first_version, event.version)
        first_s = self._answered_at_s[0]
        self._answered_at_s = (event.frame.captured_at_s if math.isnan(first_s) else first_s, event.finished_at_s)

    def _wall_s(self) -> float:
        here_s = self._answered_at_s[1] - self._answered_at_s[0] if self._finished is None else self._finished.wall_s
        return self._earlier_s + (0.0 if self._earlier_s and math.isnan(here_s) else here_s)

    def _adaptation(self, wall_s: float) -> dict[str, Any]:
        started, finished = self._started, self._finished
        step_ms = percentiles(self._steps_ms)
        del step_ms["max"]
        in_forwards = _ratio(self._steps_ms.sum, self._inferences_ms.sum)
        weighing = self._weighing_forwards / max(1, len(self._inferences_ms))
        return {
            "steps_applied": self._outcomes["applied"] + self._outcomes["shadowed"],
            "steps_refused": sum(n for outcome, n in self._outcomes.items() if outcome not in EFFECTIVE_OUTCOMES),
            "steps_by_outcome": dict(self._outcomes),
            "frames_gated": dict(self._gated),
            "rollbacks": self._rollbacks,
            "recalls": self._recalls,
            "step_ms": step_ms,
            "levels": self._levels.by_level(),
            "duty": None if started and started.latency else _ratio(self._steps_ms.sum / 1e3, wall_s),
            "forwards_per_frame": in_forwards,
            "all_forwards_per_frame": None if in_forwards is None else in_forwards + weighing,
            "trainable_parameters": started and started.trainable_parameters,
            "total_parameters": started and started.total_parameters,
            "first_version": self._versions and self._versions[0],
            "last_version": self._versions and self._versions[1],
            "frozen_digest_before": started and started.frozen_digest,
            "frozen_digest_after": finished and finished.frozen_digest,
        }


def quality(scores: Scores) -> dict[str, Any]:
    """Scores in points, as `summary.json` keeps them."""
    return {
        "classes": [
            {"name": name, "iou": iou * POINTS, "iou_frozen": frozen * POINTS}
            for name, iou, frozen in zip(scores.classes, scores.class_iou, scores.class_iou_frozen, strict=True)
        ],
        "miou": scores.miou * POINTS,
        "miou_frozen": scores.miou_frozen * POINTS,
        "domains": [
            {
                "name": visit.name,
                "visit": visit.visit,
                "first_frame": visit.first_frame,
                "frames": visit.frames,
                "compared": visit.compared,
                "miou": visit.miou * POINTS,
                "miou_frozen": visit.miou_frozen * POINTS,
            }
            for visit in scores.visits
        ],
        "hmean": scores.hmean * POINTS,
        "hmean_frozen": scores.hmean_frozen * POINTS,
        "worst_drop": scores.worst_drop * POINTS,
        "negative_window_share": scores.negative_window_share,
        "recovery_frames": list(scores.recovery_frames),
    }


def _ratio(share: float, whole: float) -> float | None:
    return share / whole if whole > 0 else None


def percentiles(samples_ms: QuantileSketch) -> dict[str, float | None]:
    """p50, p95, p99 and max of all samples, None where there are none."""
    p50, p95, p99 = (samples_ms.quantile(share) for share in (0.50, 0.95, 0.99))
    return {"p50": p50, "p95": p95, "p99": p99, "max": samples_ms.max}
