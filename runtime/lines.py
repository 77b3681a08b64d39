"""One event as one line of events.jsonl: its name in snake case, `t_s` since the start, and its scalars.

Field names are the events' own, except that frames are called `frame` everywhere and durations are in milliseconds.
Arrays are reduced or left out. Readers skip events they do not know.
"""

import dataclasses
import re
from typing import Any  # JSON

from runtime import events
from runtime.observer import Event
from runtime.shares import agreement

RENAMED = {"frame_index": "frame", "index": "frame"}


def event_line(event: Event, *, started_at_s: float) -> dict[str, Any] | None:
    """The line as JSON values; None for captures, which predictions and drops account for, and for snapshots."""
    line: dict[str, Any] = {"event": re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()}
    match event:
        case events.FrameCaptured() | events.SnapshotTaken():
            return None
        case events.Prediction():
            return line | {
                "t_s": round(event.finished_at_s - started_at_s, 4),
                "frame": event.frame.index,
                "domain": event.frame.domain,
                "version": event.version,
                "latency_ms": round(event.latency_s * 1e3, 3),
                "inference_ms": round(event.inference_s * 1e3, 3),
                "confidence": round(event.confidence, 5),
                "entropy_nats": round(event.entropy_nats, 5),
            }
        case events.ShadowPrediction():
            return line | {
                "frame": event.frame.index,
                "agreement": round(agreement(event.labels_HW, event.served_labels_HW), 5),
                "duration_ms": round(event.duration_s * 1e3, 3),
            }
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name == "at_s":
            line["t_s"] = round(value - started_at_s, 4)
        elif field.name == "duration_s":
            line["duration_ms"] = round(value * 1e3, 3)
        else:
            line[RENAMED.get(field.name, field.name)] = round(value, 7) if isinstance(value, float) else value
    return line
