"""Where the run stands: the bounded state that panel, page and health endpoints read.

One thread observes, any thread asks for a `snapshot`; nothing here knows how it will be shown.
"""

# H height, W width, C channels (RGB)

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from runtime import events
from runtime.cost import RecentCost
from runtime.history import History, Point
from runtime.observer import Event
from runtime.scores import Scores, ScoresSource, no_scores
from runtime.shares import agreement, class_shares

RECENT_LATENCIES = 500
RECENT_ANSWERS = 50  # predictions over which the rate is measured
RECENT_SHIFTS = 60
RECENT_FAULTS = 10
IN_STEP_FRAMES = 2  # a frozen answer at most so many frames behind is shown beside the adapted one of its own frame


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One frame and its answers; `frozen_labels_HW` belongs to the same frame or is None."""

    frame: int
    image_HWC: np.ndarray
    labels_HW: np.ndarray
    frozen_labels_HW: np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything at one instant. Floats are nan while unknown; `waited_s` is how long an answer has been owed."""

    run: events.RunStarted | None
    finished: str | None
    uptime_s: float
    captured: int
    predicted: int
    in_flight: int
    dropped: Mapping[str, int]
    fps: float
    latency_p50_ms: float
    latency_p99_ms: float
    inference_p50_ms: float
    prediction_age_s: float
    waited_s: float
    frame: int
    domain: str | None
    version: int
    confidence: float
    entropy_nats: float
    agreement: float
    class_shares: tuple[float, ...]
    steps: Mapping[str, int]
    step_p50_ms: float
    loss: float
    rollbacks: int
    shift_score: float
    is_shifted: bool
    num_shifts: int
    shifts: tuple[events.ShiftEvent, ...]
    num_recalls: int
    last_recall: events.Recall | None
    governor: events.GovernorChanged | None
    cost_share: float
    checkpoint_version: int | None
    num_faults: int
    faults: tuple[events.Fault, ...]
    scores: Scores | None
    points: tuple[Point, ...]

    @property
    def steps_applied(self) -> int:
        return self.steps.get("applied", 0) + self.steps.get("shadowed", 0)

    @property
    def governor_level(self) -> int:
        """0 is full adaptation."""
        return 0 if self.governor is None else self.governor.level

    @property
    def num_dropped(self) -> int:
        return sum(self.dropped.values())


class Status:
    """Observer that remembers the newest of everything; calls `scores` on the observing thread, every few frames."""

    def __init__(self, *, scores: ScoresSource = no_scores, clock: Callable[[], float] = time.monotonic) -> None:
        self._scores_source = scores
        self._clock = clock
        self._lock = threading.Lock()
        self._run: events.RunStarted | None = None
        self._finished: str | None = None
        self._started_at_s = clock()
        self._owed_since_s: float | None = None
        self._num_captured = 0
        self._num_predicted = 0
        self._dropped: Counter[str] = Counter()
        self._latencies_ms: deque[float] = deque(maxlen=RECENT_LATENCIES)
        self._inferences_ms: deque[float] = deque(maxlen=RECENT_LATENCIES)
        self._answered_at_s: deque[float] = deque(maxlen=RECENT_ANSWERS)
        self._prediction: events.Prediction | None = None
        self._shadow: events.ShadowPrediction | None = None
        self._agreement = math.nan
        self._class_shares: tuple[float, ...] = ()
        self._steps: Counter[str] = Counter()
        self._steps_ms: deque[float] = deque(maxlen=RECENT_LATENCIES)
        self._loss = math.nan
        self._rollbacks = 0
        self._shift: events.ShiftScore | None = None
        self._num_shifts = 0
        self._shifts: deque[events.ShiftEvent] = deque(maxlen=RECENT_SHIFTS)
        self._num_recalls = 0
        self._last_recall: events.Recall | None = None
        self._governor: events.GovernorChanged | None = None
        self._cost = RecentCost()
        self._checkpoint_version: int | None = None
        self._num_faults = 0
        self._faults: deque[events.Fault] = deque(maxlen=RECENT_FAULTS)
        self._scores: Scores | None = None
        self._history = History()

    def observe(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            self._take(event)

    def snapshot(self) -> Snapshot:
        """The state now; safe from any thread."""
        with self._lock:
            return self._snapshot()

    def moment(self) -> Moment | None:
        """The newest frame to show, None before the first answer; safe from any thread."""
        with self._lock:
            newest, shadow = self._prediction, self._shadow
        if newest is None:
            return None
        if shadow is not None and newest.frame.index - shadow.frame.index <= IN_STEP_FRAMES:
            frame = shadow.frame
            return Moment(frame.index, frame.image_HWC, shadow.served_labels_HW, shadow.labels_HW)
        return Moment(newest.frame.index, newest.frame.image_HWC, newest.labels_HW, None)

    def _take(self, event: Event) -> None:
        match event:
            case events.Prediction():
                self._take_prediction(event)
            case events.FrameCaptured():
                self._num_captured += 1
                if self._owed_since_s is None:
                    self._owed_since_s = self._clock()
            case events.FrameDropped(reason=reason):
                self._dropped[reason] += 1
                if self._num_captured == self._num_predicted + sum(self._dropped.values()):
                    self._owed_since_s = None
            case events.ShadowPrediction():
                self._shadow = event
                self._agreement = agreement(event.labels_HW, event.served_labels_HW)
            case events.ShiftScore():
                self._shift = event
            case events.ShiftEvent():
                self._num_shifts += 1
                self._shifts.append(event)
            case events.Recall(refusal=""):
                self._num_recalls += 1
                self._last_recall = event
            case events.AdaptationStep(outcome=outcome, loss=loss, duration_s=duration_s, at_s=at_s):
                self._steps[outcome] += 1
                self._cost.add(at_s, duration_s)
                self._steps_ms.append(duration_s * 1e3)
                self._loss = self._loss if math.isnan(loss) else loss
            case events.Rollback():
                self._rollbacks += 1
            case events.GovernorChanged():
                self._governor = event
            case events.CheckpointSaved(version=version, error=""):
                self._checkpoint_version = version
            case events.CheckpointSaved(error=error, at_s=at_s):
                self._num_faults += 1
                self._faults.append(events.Fault("checkpoint", error, at_s))
            case events.Fault():
                self._num_faults += 1
                self._faults.append(event)
            case events.RunStarted():
                self._run = event
                self._started_at_s = self._clock()
            case events.RunFinished(reason=reason):
                self._finished = reason
                self._scores = self._scores_source()

    def _take_prediction(self, event: events.Prediction) -> None:
        self._num_predicted += 1
        self._prediction = event
        self._owed_since_s = None
        self._latencies_ms.append(event.latency_s * 1e3)
        self._inferences_ms.append(event.inference_s * 1e3)
        self._answered_at_s.append(event.finished_at_s)
        if not self._history.is_due(self._num_predicted):
            return
        self._scores = scores = self._scores_source()
        if self._run is not None:
            self._class_shares = tuple(class_shares(event.labels_HW, len(self._run.classes)))
        p50_ms, p99_ms = _percentiles(self._latencies_ms)
        self._history.add(
            Point(
                frame=event.frame.index,
                miou=math.nan if scores is None else scores.recent_miou,
                miou_frozen=math.nan if scores is None else scores.recent_miou_frozen,
                shift_score=math.nan if self._shift is None else self._shift.score,
                latency_p50_ms=p50_ms,
                latency_p99_ms=p99_ms,
                version=event.version,
                num_steps=self._steps["applied"] + self._steps["shadowed"],
                confidence=event.confidence,
                agreement=self._agreement,
            )
        )

    def _snapshot(self) -> Snapshot:
        now_s = self._clock()
        newest, shift = self._prediction, self._shift
        p50_ms, p99_ms = _percentiles(self._latencies_ms)
        answered = self._answered_at_s
        span_s = answered[-1] - answered[0] if len(answered) > 1 else 0.0
        num_dropped = sum(self._dropped.values())
        return Snapshot(
            run=self._run,
            finished=self._finished,
            uptime_s=now_s - self._started_at_s,
            captured=self._num_captured,
            predicted=self._num_predicted,
            in_flight=self._num_captured - self._num_predicted - num_dropped,
            dropped=dict(self._dropped),
            fps=(len(answered) - 1) / span_s if span_s > 0 else math.nan,
            latency_p50_ms=p50_ms,
            latency_p99_ms=p99_ms,
            inference_p50_ms=_percentiles(self._inferences_ms)[0],
            prediction_age_s=math.nan if newest is None else now_s - newest.finished_at_s,
            waited_s=0.0 if self._owed_since_s is None else now_s - self._owed_since_s,
            frame=-1 if newest is None else newest.frame.index,
            domain=None if newest is None else newest.frame.domain,
            version=0 if newest is None else newest.version,
            confidence=math.nan if newest is None else newest.confidence,
            entropy_nats=math.nan if newest is None else newest.entropy_nats,
            agreement=self._agreement,
            class_shares=self._class_shares,
            steps=dict(self._steps),
            step_p50_ms=_percentiles(self._steps_ms)[0],
            loss=self._loss,
            rollbacks=self._rollbacks,
            shift_score=math.nan if shift is None else shift.score,
            is_shifted=shift is not None and shift.is_shifted,
            num_shifts=self._num_shifts,
            shifts=tuple(self._shifts),
            num_recalls=self._num_recalls,
            last_recall=self._last_recall,
            governor=self._governor,
            cost_share=0.0 if newest is None else self._cost.share(newest.finished_at_s),
            checkpoint_version=self._checkpoint_version,
            num_faults=self._num_faults,
            faults=tuple(self._faults),
            scores=self._scores,
            points=self._history.points,
        )


def _percentiles(samples: deque[float]) -> tuple[float, float]:
    if not samples:
        return math.nan, math.nan
    p50, p99 = np.percentile(np.fromiter(samples, dtype=float), (50, 99))
    return float(p50), float(p99)
