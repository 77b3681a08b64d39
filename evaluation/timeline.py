"""A run as curves over its frames: what plots draw and tables count, from the events of a run folder read once.

The one place of this package that knows the field names of `events.jsonl`. A run of any length takes bounded memory:
see `evaluation.thinning`. Draws nothing, computes no score.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from evaluation.run_folder import Row, RunFolder, number
from evaluation.thinning import MAX_MARKS, Curve, CurveLog, Mark, MarkLog, Marks, PeakLog, Span, SpanLog

EFFECTIVE_OUTCOMES = ("applied", "shadowed", "relaxed")
OF_PREDICTIONS = (
    *("miou_recent", "miou_frozen_recent", "confidence", "entropy_nats"),
    *("latency_ms", "inference_ms", "version"),
)
OTHER_FAULTS = "others"


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Everything drawn over time. mIoU in points, times in ms, entropy in nats, shares in [0, 1].

    `slowest` has the latencies again, thinned to the greatest. `faults` counts them by component and detail, `num_torn`
    lines that were not whole JSON objects, `num_lost` events that the disk refused.
    """

    spans: tuple[Span, ...]
    miou: Curve
    miou_frozen: Curve
    confidence: Curve
    entropy: Curve
    agreement: Curve
    latency: Curve
    slowest: Curve
    inference: Curve
    frozen_inference: Curve
    version: Curve
    loss: Curve
    step_ms: Curve
    shift_score: Curve
    shifts: Marks
    troubles: Marks
    efforts: Marks
    drops: Counter[str]
    outcomes: Counter[str]
    faults: Counter[str]
    num_predicted: int
    num_torn: int
    num_lost: int


def read_timeline(run: RunFolder) -> Timeline:
    """The curves of a run, finished or not."""
    reading = _Reading()
    for row in run.events():
        reading.take(row)
    return reading.timeline()


def percentiles(curve: Curve) -> dict[str, float]:
    """p50, p95, p99 and max of the finite values, by those names; nan where there are none."""
    values = curve.only_measured().values
    if values.size == 0:
        return dict.fromkeys(("p50", "p95", "p99", "max"), float("nan"))
    p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": curve.peak}


class _Reading:
    """Takes the rows one by one, in order."""

    def __init__(self) -> None:
        self._predictions = CurveLog(*OF_PREDICTIONS)
        self._shadows = CurveLog("agreement", "duration_ms")
        self._steps = CurveLog("loss", "duration_ms")
        self._scores = CurveLog("score")
        self._slowest = PeakLog()
        self._spans = SpanLog()
        self._shifts, self._troubles, self._efforts = MarkLog(), MarkLog(), MarkLog()
        self._level = 0.0  # the governor's
        self._drops: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._num_torn = self._num_lost = 0

    def take(self, row: Row | None) -> None:
        """One event; None for a line that was torn."""
        if row is None:
            self._num_torn += 1
            return
        frame = number(row.get("frame"))
        match row["event"]:
            case "prediction":
                _add(self._predictions, row, OF_PREDICTIONS)
                self._slowest.add(frame, number(row.get("latency_ms")))
                self._spans.add(frame, str(row.get("domain") or ""))
            case "shadow_prediction":
                _add(self._shadows, row, ("agreement", "duration_ms"))
            case "shift_score":
                _add(self._scores, row, ("score",))
            case "adaptation_step":
                _add(self._steps, row, ("loss", "duration_ms"))
                self._take_outcome(frame, row)
            case "shift_event":
                score, domain = number(row.get("score")), str(row.get("true_domain") or "")
                self._shifts.add(Mark(frame, str(row.get("kind")), score, domain))
            case "rollback":
                self._troubles.add(Mark(frame, "rollback", number(row.get("version")), str(row.get("reason", ""))))
            case "governor_changed":
                before, self._level = self._level, number(row.get("level"))
                kind = "learning shed" if self._level > before else "resumed"
                self._efforts.add(Mark(frame, kind, self._level, f"{row.get('name')}: {row.get('detail')}"))
            case "frame_dropped":
                self._drops[str(row.get("reason"))] += 1
            case "events_lost":
                num = row.get("num_events")
                self._num_lost += num if isinstance(num, int) else 0
            case "fault":
                fault = f"{row.get('component')}: {row.get('detail')}"
                self._faults[fault if len(self._faults) < MAX_MARKS or fault in self._faults else OTHER_FAULTS] += 1

    def timeline(self) -> Timeline:
        predictions, shadows, steps = self._predictions, self._shadows, self._steps
        return Timeline(
            spans=self._spans.spans(),
            miou=predictions.curve("miou_recent"),
            miou_frozen=predictions.curve("miou_frozen_recent"),
            confidence=predictions.curve("confidence"),
            entropy=predictions.curve("entropy_nats"),
            agreement=shadows.curve("agreement"),
            latency=predictions.curve("latency_ms"),
            slowest=self._slowest.curve(),
            inference=predictions.curve("inference_ms"),
            frozen_inference=shadows.curve("duration_ms"),
            version=predictions.curve("version"),
            loss=steps.curve("loss"),
            step_ms=steps.curve("duration_ms"),
            shift_score=self._scores.curve("score"),
            shifts=self._shifts.marks(),
            troubles=self._troubles.marks(),
            efforts=self._efforts.marks(),
            drops=self._drops,
            outcomes=self._outcomes,
            faults=self._faults,
            num_predicted=predictions.num,
            num_torn=self._num_torn,
            num_lost=self._num_lost,
        )

    def _take_outcome(self, frame: float, row: Row) -> None:
        outcome = str(row.get("outcome"))
        self._outcomes[outcome] += 1
        if outcome not in EFFECTIVE_OUTCOMES:  # learning refused
            self._troubles.add(Mark(frame, outcome, number(row.get("version")), str(row.get("detail", ""))))


def _add(log: CurveLog, row: Row, keys: tuple[str, ...]) -> None:
    log.add(number(row.get("frame")), [number(row.get(key)) for key in keys])
