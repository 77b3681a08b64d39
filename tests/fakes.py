"""Small real stand-ins shared by tests: a clock moved by hand and events with sensible fields."""

from dataclasses import replace

import numpy as np

from runtime.effort import LEVELS
from runtime.events import (
    AdaptationStep,
    GovernorChanged,
    Prediction,
    Recall,
    RunFinished,
    RunStarted,
    ShadowPrediction,
)
from runtime.scores import Scores, VisitScore
from runtime.shift.calibration import SourceAppearance
from streams.frame import Frame

CLASSES = ("road", "sidewalk", "building")


class ManualClock:
    """A monotonic clock that stands still until told otherwise; call it for the time in seconds."""

    def __init__(self, start_s: float = 100.0) -> None:
        self.now_s = start_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> float:
        """Move forward; returns the new time."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back by {seconds}")
        self.now_s += seconds
        return self.now_s


def make_frame(index: int = 0, *, at_s: float = 100.0, domain: str | None = "clear", labelled: bool = True) -> Frame:
    """A 32x64 frame whose pixels and labels follow from `index`."""
    rng = np.random.default_rng(index)
    image_HWC = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
    label_HW = rng.integers(0, len(CLASSES), (32, 64), dtype=np.uint8)
    return Frame(index, at_s, image_HWC, label_HW=label_HW if labelled else None, domain=domain)


def make_source(mean_F: np.ndarray, whitening_FF: np.ndarray, *, threshold: float = 1.0) -> SourceAppearance:
    """A source of these features, its edge at distance `threshold` and usually at half of that."""
    deviation_F = np.ones(len(mean_F))
    return SourceAppearance(
        mean_F, whitening_FF, threshold, deviation_F, jump_threshold=1.0, change_threshold=0.75, typical=0.5
    )


def make_run_started(**changes: object) -> RunStarted:
    """A live ten-frames-per-second run of three classes; `changes` replace fields."""
    started = RunStarted(
        stream="rain_sequence",
        method="styled",
        model="segformer_b0",
        device="cpu",
        seed=0,
        pace="live",
        size_HW=(32, 64),
        stream_fps=10.0,
        num_frames=825,
        classes=CLASSES,
        trainable_parameters=10,
        total_parameters=100,
        frozen_digest="abc",
    )
    return replace(started, **changes)


def make_prediction(
    frame: Frame | None = None, *, version: int = 0, wait_s: float = 0.01, inference_s: float = 0.02
) -> Prediction:
    """Predicts the second class everywhere, `wait_s` after capture."""
    frame = make_frame() if frame is None else frame
    started_at_s = frame.captured_at_s + wait_s
    labels_HW = np.ones(frame.image_HWC.shape[:2], dtype=np.uint8)
    return Prediction(frame, version, labels_HW, 0.75, 0.5, started_at_s, started_at_s + inference_s)


def make_shadow(prediction: Prediction, *, agreeing_rows: int = 16) -> ShadowPrediction:
    """The frozen model's answer: as served in the first rows, class 0 below."""
    labels_HW = prediction.labels_HW.copy()
    labels_HW[agreeing_rows:] = 0
    return ShadowPrediction(prediction.frame, labels_HW, prediction.labels_HW, 0.015)


def make_step(
    frame_index: int = 0, *, outcome: str = "applied", version: int = 1, at_s: float = 100.0
) -> AdaptationStep:
    """A step of 40 ms with loss 0.7."""
    return AdaptationStep(frame_index, outcome, 0.7, 3e-4, 0.04, version, at_s)


def make_recall(frame_index: int = 0, *, refusal: str = "", at_s: float = 100.0) -> Recall:
    """Domain 2 at a quarter of the edge; version 5 serves."""
    return Recall(frame_index, 2, 0.25, 5, at_s, refusal)


def make_governor_changed(level: int, *, reason: str = "late", at_s: float = 100.0) -> GovernorChanged:
    """To `level`, where a step takes 40 ms, after learning a quarter of the time."""
    return GovernorChanged(9, level, LEVELS[level].name, reason, f"because {reason}", 40.0, 0.25, at_s)


def make_run_finished(**changes: object) -> RunFinished:
    """An orderly end after ten seconds; `changes` replace fields."""
    return replace(RunFinished("end", 10.0, 0, "abc", 512.0, 0.0, 48.0), **changes)


def make_scores(**changes: object) -> Scores:
    """Two visits, the adapted model four points ahead in rain, one class never seen."""
    nan = float("nan")
    scores = Scores(
        classes=CLASSES,
        miou=0.40,
        miou_frozen=0.37,
        recent_miou=0.30,
        recent_miou_frozen=0.26,
        visits=(VisitScore("clear", 0, 0, 75, 15, 0.50, 0.505), VisitScore("rain_25mm", 1, 75, 75, 75, 0.30, 0.26)),
        hmean=0.375,
        hmean_frozen=0.343,
        worst_drop=0.005,
        negative_window_share=0.0,
        recovery_frames=(12, None),
        class_iou=(0.8, 0.2, nan),
        class_iou_frozen=(0.75, 0.15, nan),
    )
    return replace(scores, **changes)
