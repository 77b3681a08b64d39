"""Observers: who hears of all that happens (metrics, run record, page, panel, scores), and what they may hear."""

from typing import Protocol

from runtime.events import (
    AdaptationStep,
    CheckpointSaved,
    Fault,
    FrameCaptured,
    FrameDropped,
    FrameGated,
    GovernorChanged,
    Prediction,
    Recall,
    Rollback,
    RunFinished,
    RunResumed,
    RunStarted,
    ShadowPrediction,
    ShiftEvent,
    ShiftScore,
    SnapshotTaken,
    StatisticsTaken,
    TrustChanged,
    Weighed,
    WorkerChanged,
)

Event = (
    RunStarted
    | FrameCaptured
    | FrameDropped
    | Prediction
    | ShadowPrediction
    | FrameGated
    | AdaptationStep
    | Rollback
    | Weighed
    | TrustChanged
    | StatisticsTaken
    | Recall
    | ShiftScore
    | ShiftEvent
    | GovernorChanged
    | SnapshotTaken
    | CheckpointSaved
    | RunResumed
    | Fault
    | WorkerChanged
    | RunFinished
)


class Observer(Protocol):
    """Sees every event once, in order, from the thread that drives the run; must return quickly and never raise."""

    def observe(self, event: Event) -> None: ...
