"""The figures methods are compared by: where a run's summary has each, and how it is shown.

In groups, in the order in which tables show them. mIoU and what comes from it is in points, lags in frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from evaluation.ceiling import gain, gap_closed
from evaluation.run_folder import Row, lookup, number


@dataclass(frozen=True, slots=True)
class Figure:
    """`of` reads it from a summary, nan where it is unknown. `is_signed` figures are gains: above 0 is good."""

    heading: str
    of: Callable[[Row], float]
    digits: int = 1
    is_signed: bool = False


def _at(path: str, *, scale: float = 1.0) -> Callable[[Row], float]:
    return lambda summary: scale * number(lookup(summary, path))


def _count(path: str) -> Callable[[Row], float]:
    def read(summary: Row) -> float:
        found = lookup(summary, path)
        return float(len(found)) if isinstance(found, list) else float("nan")

    return read


def _unsafe_in_a_visit(summary: Row) -> float:
    if not isinstance(lookup(summary, "quality.unsafe_classes"), list):
        return float("nan")
    return float(len(lookup(summary, "quality.unsafe_visit.classes") or []))


def _timed(read: Callable[[Row], float]) -> Callable[[Row], float]:
    """Known only of runs whose times mean something."""
    return lambda summary: read(summary) if lookup(summary, "quality.streaming") else float("nan")


def _dropped(summary: Row) -> float:
    counts = lookup(summary, "frames.dropped")
    is_timed = bool(lookup(summary, "quality.streaming"))
    return float(sum(counts.values())) if is_timed and isinstance(counts, dict) else float("nan")


def _later_lags(summary: Row) -> list[Row]:
    """Of the visits after the first."""
    return list(lookup(summary, "quality.lags") or [])[1:]


def _later_visits(summary: Row) -> float:
    lags = _later_lags(summary)
    return float(len(lags)) if lags else float("nan")


def _mean_lag(part: str) -> Callable[[Row], float]:
    """Over the visits after the first, where that part came at all."""

    def read(summary: Row) -> float:
        known = [float(lag[part]) for lag in _later_lags(summary) if lag.get(part) is not None]
        return fmean(known) if known else float("nan")

    return read


def _never(part: str) -> Callable[[Row], float]:
    """Visits after the first in which that part never came, which no mean tells; nan where there are no such visits."""

    def read(summary: Row) -> float:
        lags = _later_lags(summary)
        return float(sum(lag.get(part) is None for lag in lags)) if lags else float("nan")

    return read


GROUPS: dict[str, dict[str, Figure]] = {
    "Score": {
        "hmean": Figure("hmean", _at("quality.hmean")),
        "hmean_frozen": Figure("frozen", _at("quality.hmean_frozen")),
        "gain": Figure("gain", gain, is_signed=True),
        "forwards_per_frame": Figure("F/frame", _at("adaptation.forwards_per_frame"), digits=2),
    },
    "Ceiling and all frames": {
        "gap_closed": Figure("% of gap", gap_closed, digits=0),
        "miou": Figure("mIoU", _at("quality.miou")),
        "miou_frozen": Figure("frozen's", _at("quality.miou_frozen")),
        "windowed": Figure("windowed", _at("quality.windowed.miou")),
        "windowed_frozen": Figure("frozen's", _at("quality.windowed.miou_frozen")),
    },
    "Safety": {
        "worst_drop": Figure("worst drop", _at("quality.worst_drop")),
        "worst_window": Figure("worst window", _at("quality.worst_window")),
        "negative_window_share": Figure("harmed windows", _at("quality.negative_window_share"), digits=2),
        "unsafe_classes": Figure("classes hurt", _count("quality.unsafe_classes")),
        "unsafe_in_a_visit": Figure("in one visit", _unsafe_in_a_visit),
    },
    "Forgetting and calibration": {
        "forgetting": Figure("forgotten", _at("quality.forgetting.points_lost")),
        "ece": Figure("ECE %", _at("quality.calibration.ece", scale=100.0)),
        "ece_frozen": Figure("frozen's", _at("quality.calibration.ece_frozen", scale=100.0)),
    },
    "In time": {
        "streaming": Figure("streaming", _at("quality.streaming.hmean")),
        "deadline": Figure("deadline", _at("quality.deadline.hmean")),
        "dropped": Figure("dropped", _dropped, digits=0),
        "answered_p99_ms": Figure("p99 ms", _timed(_at("latency_ms.capture_to_result.p99"))),
    },
    "Lag": {
        "later_visits": Figure("visits", _later_visits, digits=0),
        "detected_frames": Figure("detected", _mean_lag("detected")),
        "detected_never": Figure("never", _never("detected")),
        "served_frames": Figure("served", _mean_lag("served")),
        "served_never": Figure("never", _never("served")),
        "plateau_frames": Figure("plateau", _mean_lag("plateau")),
    },
    "Recurrence and rounds": {
        "recurrence_gain": Figure("recurrence gain", _at("quality.recurrence.gain"), is_signed=True),
        "recurrence_gain_frozen": Figure("frozen's", _at("quality.recurrence.gain_frozen"), is_signed=True),
        "recurrence_frames": Figure("slowest second visit", _at("quality.recurrence.recovery_frames"), digits=0),
        "worst_later_round": Figure("worst later round", _at("quality.worst_later_round"), is_signed=True),
    },
    "Cost": {
        "steps": Figure("steps", _at("adaptation.steps_applied"), digits=0),
        "step_ms": Figure("step p50 ms", _at("adaptation.step_ms.p50")),
        "step_ms_p95": Figure("p95 ms", _at("adaptation.step_ms.p95")),
        "all_forwards_per_frame": Figure("all F/frame", _at("adaptation.all_forwards_per_frame"), digits=2),
        "p99_ms": Figure("frame p99 ms", _at("latency_ms.capture_to_result.p99")),
    },
    "Memory and parameters": {
        "memory_mb": Figure("peak MiB", _at("memory.peak_rss_mb"), digits=0),
        "device_mb": Figure(
            "on device", lambda row: number(lookup(row, "memory.peak_device_mb")) or float("nan"), digits=0
        ),
        "trainable": Figure("trainable 1000s", _at("adaptation.trainable_parameters", scale=1e-3)),
    },
}
FIGURES: dict[str, Figure] = {name: figure for group in GROUPS.values() for name, figure in group.items()}
NOTES = {
    "In time": (
        "hmean over all captured frames. Streaming: the latest answer there is as a frame is captured, scored against "
        "that frame. Deadline: an answer later than one frame period is wrong on every pixel."
    ),
    "Score": (
        "Means over seeds, +- sample standard deviation, mIoU in points; hmean is the harmonic mean over domain "
        "visits. Brackets: 95 % intervals by block bootstrap over frames and seeds, of the gain (paired with frozen) "
        "and of hmean less that of the method below (over next). F/frame: time of learning steps over that of "
        "inference, over the whole run."
    ),
    "Ceiling and all frames": (
        "% of gap: of the way from frozen to the oracle, which learns from the stream's own labels. mIoU of "
        "all frames counted together (cumulative), and its mean over windows of 100 frames, one ending at each frame "
        "(windowed)."
    ),
    "Safety": (
        "Worst drop, worst window: largest shortfall against frozen on any visit, in any 100 frames (below 0: ahead "
        "everywhere). Harmed windows: share more than 0.5 below frozen. Classes hurt: IoU more than 10 points below "
        "frozen over the run, and in the worst visit."
    ),
    "Forgetting and calibration": (
        "Forgotten: points of mIoU lost on held-out source samples by the end. ECE: expected calibration error, 15 "
        "bins."
    ),
    "Lag": (
        "Frames from a domain's first to its detection, to the first answer by a version learnt in this visit or "
        "recalled for it, and to 95 % of the visit's own plateau: means over the visits after the first in which it "
        "came. Never: visits in which it did not; back at the source nothing need serve."
    ),
    "Recurrence and rounds": (
        "Recurrence gain: later visits to a domain less the first, beside the frozen model's; frames the second visit "
        "took to its plateau. Worst later round: its hmean less the first round's."
    ),
    "Cost": (
        "Learning steps and how long they and the frames took, on the machine the runs were made on. All F/frame: "
        "F/frame, the forwards that weigh what was learnt against the frozen model and those that take the stream's "
        "statistics. Code: a digest of what ran."
    ),
    "Memory and parameters": "Peak memory is of the whole process. Trainable: parameters that learn.",
}
