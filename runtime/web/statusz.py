"""The body of /statusz: a status snapshot in the words the page reads.

Keys are stable for scripts; latencies in milliseconds, IoU in points, unknown values null.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any  # JSON

from runtime.events import Recall
from runtime.history import Point
from runtime.json_values import to_json
from runtime.scores import POINTS, Scores
from runtime.status import Snapshot
from runtime.web.health import readiness

SCHEMA = 1


def statusz(snapshot: Snapshot, *, colors_K3: Sequence[Sequence[int]], moment: int | None, with_series: bool) -> str:
    """JSON text. `moment` is the frame index under which the pictures of this instant can be fetched."""
    reasons = readiness(snapshot)
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "ready": not reasons,
        "reasons": reasons,
        "finished": snapshot.finished,
        "uptime_s": round(snapshot.uptime_s, 2),
        "run": _run(snapshot),
        "frame": snapshot.frame,
        "domain": snapshot.domain,
        "fps": round(snapshot.fps, 2),
        "frames": {
            "captured": snapshot.captured,
            "predicted": snapshot.predicted,
            "in_flight": snapshot.in_flight,
            "dropped": snapshot.dropped,
        },
        "latency_ms": {"p50": round(snapshot.latency_p50_ms, 2), "p99": round(snapshot.latency_p99_ms, 2)},
        "inference_ms": {"p50": round(snapshot.inference_p50_ms, 2)},
        "model_version": snapshot.version,
        "confidence": round(snapshot.confidence, 4),
        "entropy_nats": round(snapshot.entropy_nats, 4),
        "source_agreement": round(snapshot.agreement, 4),
        "adaptation": {
            "steps": snapshot.steps,
            "step_ms": round(snapshot.step_p50_ms, 1),
            "loss": round(snapshot.loss, 4),
            "rollbacks": snapshot.rollbacks,
            "governor_level": snapshot.governor_level,
            "governor": _governor(snapshot),
            "cost_share": round(snapshot.cost_share, 4),
            "checkpoint_version": snapshot.checkpoint_version,
        },
        "shift": {
            "score": round(snapshot.shift_score, 4),
            "is_shifted": snapshot.is_shifted,
            "detected": snapshot.num_shifts,
            "recent": [
                {"frame": s.frame_index, "kind": s.kind, "score": round(s.score, 3), "true_domain": s.true_domain}
                for s in snapshot.shifts
            ],
            "recalls": snapshot.num_recalls,
            "last_recall": _recall(snapshot.last_recall),
        },
        "scores": None if snapshot.scores is None else _scores(snapshot.scores),
        "classes": _classes(snapshot, colors_K3),
        "faults": {
            "count": snapshot.num_faults,
            "recent": [{"component": fault.component, "detail": fault.detail} for fault in snapshot.faults],
        },
        "moment": moment,
    }
    if with_series:
        body["series"] = _series(snapshot.points)
    return to_json(body)


def _run(snapshot: Snapshot) -> dict[str, Any] | None:
    run = snapshot.run
    if run is None:
        return None
    return {
        "stream": run.stream,
        "method": run.method,
        "model": run.model,
        "device": run.device,
        "pace": run.pace,
        "seed": run.seed,
        "size": f"{run.size_HW[0]}x{run.size_HW[1]}",
        "stream_fps": round(run.stream_fps, 3),
        "num_frames": run.num_frames,
        "trainable_parameters": run.trainable_parameters,
        "total_parameters": run.total_parameters,
    }


def _governor(snapshot: Snapshot) -> dict[str, Any] | None:
    """The last change of effort; null while there was none."""
    change = snapshot.governor
    if change is None:
        return None
    words = {"level": change.level, "name": change.name, "reason": change.reason, "detail": change.detail}
    return words | {"step_ms": round(change.step_ms, 1), "cost_share": round(change.cost_share, 4)}


def _recall(recall: Recall | None) -> dict[str, Any] | None:
    """The last return of a known domain; null while there was none."""
    if recall is None:
        return None
    return {"frame": recall.frame_index, "domain": recall.domain, "distance": round(recall.distance, 3)}


def _scores(scores: Scores) -> dict[str, Any]:
    visits = [
        {
            "name": visit.name,
            "visit": visit.visit,
            "frames": visit.frames,
            "compared": visit.compared,
            "miou": _points(visit.miou),
            "miou_frozen": _points(visit.miou_frozen),
        }
        for visit in scores.visits
    ]
    names = ("miou", "miou_frozen", "recent_miou", "recent_miou_frozen", "hmean", "hmean_frozen", "worst_drop")
    return {**{name: _points(getattr(scores, name)) for name in names}, "visits": visits}


def _classes(snapshot: Snapshot, colors_K3: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    if snapshot.run is None:
        return []
    names, scores = snapshot.run.classes, snapshot.scores
    shares = snapshot.class_shares or (0.0,) * len(names)
    iou = (math.nan,) * len(names) if scores is None else scores.class_iou
    iou_frozen = (math.nan,) * len(names) if scores is None else scores.class_iou_frozen
    return [
        {
            "name": name,
            "color": "#{:02x}{:02x}{:02x}".format(*colors_K3[index % len(colors_K3)]),
            "share": round(share, 4),
            "iou": _points(value),
            "iou_frozen": _points(frozen),
        }
        for index, (name, share, value, frozen) in enumerate(zip(names, shares, iou, iou_frozen, strict=True))
    ]


def _series(points: Sequence[Point]) -> dict[str, list[float]]:
    columns = {field.name: [getattr(point, field.name) for point in points] for field in fields(Point)}
    for name in ("miou", "miou_frozen"):
        columns[name] = [value * POINTS for value in columns[name]]
    return {name: [round(value, 3) for value in column] for name, column in columns.items()}


def _points(ratio: float) -> float:
    return round(ratio * POINTS, 2)
