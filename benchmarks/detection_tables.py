"""Tables of `bench detection`: the default by stream, every pair of signal and detector, ramps, recordings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.table import UNKNOWN, Table, decimal
from evaluation.detection import DetectionScore, pooled
from runtime.shift.detectors import JUMPS

GROUPS = ("jumps", "ramps", "drives", "places", "recorded")
NOTE = (
    "Jumps: first frames of visits, found within 40 frames; steps: those that only bring more or less of the same "
    "weather. False alarms: detections of any kind on other frames, per 1000 of those. Confidence, classes and light: "
    "of the frozen model, which answers every fourth frame."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one detector found by one signal in one stream; `events` are frames and kinds. `titles` and what each
    change does to the frozen model (points of mIoU) go with the delays of the score.
    """

    stream: str
    group: str
    seed: int
    signal: str
    detector: str
    score: DetectionScore
    is_step: tuple[bool, ...]
    events: tuple[tuple[int, str], ...]
    titles: tuple[str, ...]
    frozen_changes: tuple[float, ...]


def detection_tables(outcomes: Sequence[Outcome]) -> tuple[Table, ...]:
    """Those for which there are outcomes."""
    synthetic = [outcome for outcome in outcomes if outcome.group != "recorded"]
    recorded = [outcome for outcome in outcomes if outcome.group == "recorded"]
    tables = [
        by_stream("The default (jumps, style) by stream", [one for one in synthetic if one.detector == JUMPS]),
        by_jump("The default by jump", [one for one in synthetic if (one.detector, one.group) == (JUMPS, "jumps")]),
        by_pair("Signals and detectors on jumps and on clear weather", synthetic),
        ramps("Ramps (storm_gradual)", [one for one in synthetic if one.group == "ramps"]),
    ]
    if recorded:
        tables += [
            by_stream("CamVid: the default by stream", [one for one in recorded if one.detector == JUMPS]),
            by_jump("CamVid: the default by jump", [one for one in recorded if one.detector == JUMPS]),
            by_pair("CamVid: signals and detectors", recorded),
        ]
    return tuple(tables)


def by_stream(title: str, outcomes: Sequence[Outcome]) -> Table:
    """One line a stream, its seeds pooled."""
    rows = []
    for name in dict.fromkeys(outcome.stream for outcome in outcomes):
        chosen = [outcome for outcome in outcomes if outcome.stream == name]
        score = pooled([outcome.score for outcome in chosen])
        rows.append((name, str(len(chosen)), *_missed(chosen), *_delays(score), *_alarms(score)))
    return Table(
        title=title,
        header=(
            *("stream", "runs", "missed jumps", "missed steps", "mean delay", "longest"),
            *("false alarms per 1000", "false alarms", "stationary frames"),
        ),
        rows=tuple(rows),
        note=NOTE,
    )


def by_jump(title: str, outcomes: Sequence[Outcome]) -> Table:
    """One line for each pair of domains, most often missed first."""
    met: dict[str, list[tuple[int | None, float]]] = {}
    for one in outcomes:
        for name, delay, change in zip(one.titles, one.score.delays, one.frozen_changes, strict=True):
            met.setdefault(name, []).append((delay, change))
    rows = []
    for name, jumps in sorted(met.items(), key=lambda item: -sum(delay is None for delay, _ in item[1])):
        found = [(delay, change) for delay, change in jumps if delay is not None]
        missed = [change for delay, change in jumps if delay is None]
        delays = [delay for delay, _ in found]
        rows.append(
            (
                *(name, f"{len(missed)} of {len(jumps)}", str(max(delays, default=UNKNOWN))),
                decimal(float(np.mean([change for _, change in jumps])), is_signed=True),
                ", ".join(decimal(change, is_signed=True) for change in missed) or UNKNOWN,
            )
        )
    return Table(
        title=title,
        header=("from, to", "missed", "longest delay", "frozen's mIoU", "where missed"),
        rows=tuple(rows),
        note="Frozen's mIoU: over the 40 frames after the jump less that over the 40 before, every fourth frame, in "
        "points, mean over all such jumps, and one by one over those that were missed; scenery has its part in it.",
    )


def by_pair(title: str, outcomes: Sequence[Outcome]) -> Table:
    """One line for each signal and detector; false alarms by what the stream was."""
    groups = [group for group in GROUPS if group != "ramps" and any(one.group == group for one in outcomes)]
    rows = []
    for pair in dict.fromkeys((outcome.signal, outcome.detector) for outcome in outcomes):
        chosen = [one for one in outcomes if (one.signal, one.detector) == pair and one.group in groups]
        changing = [one for one in chosen if one.is_step]
        alarms = [
            decimal(pooled([one.score for one in chosen if one.group == group]).false_alarms_per_1000, digits=2)
            for group in groups
        ]
        score = pooled([one.score for one in changing])
        rows.append((", ".join(pair), *_missed(changing), *_delays(score), *alarms))
    return Table(
        title=title,
        header=(
            *("signal, detector", "missed jumps", "missed steps", "mean delay", "longest"),
            *(f"false alarms per 1000, {group}" for group in groups),
        ),
        rows=tuple(rows),
        note=NOTE,
    )


def ramps(title: str, outcomes: Sequence[Outcome]) -> Table:
    """One line for each signal and detector: frames from the start of each ramp to the first event of its kind."""
    rows = []
    for pair in dict.fromkeys((outcome.signal, outcome.detector) for outcome in outcomes):
        chosen = [one for one in outcomes if (one.signal, one.detector) == pair]
        score = pooled([one.score for one in chosen])
        rows.append(
            (
                ", ".join(pair),
                f"{score.num_missed} of {len(score.delays)}",
                *_delays(score),
                *_alarms(score)[:1],
                ", ".join(_shown(outcome.events) for outcome in chosen[:1]),
            )
        )
    return Table(
        title=title,
        header=(
            *("signal, detector", "missed ramps", "mean delay", "longest"),
            *("false alarms per 1000", "events of the first seed"),
        ),
        rows=tuple(rows),
        note="Up from frame 75 to 300, down from 375 to 600; a ramp is found by any event while it lasts or 40 frames "
        "later. a: away, c: change, r: return, with the frame.",
    )


def _missed(outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Missed of all, for jumps to other weather and for steps of one."""
    cells = []
    for wanted in (False, True):
        delays = [
            delay
            for one in outcomes
            for delay, is_step in zip(one.score.delays, one.is_step, strict=True)
            if is_step == wanted
        ]
        cells.append(f"{sum(delay is None for delay in delays)} of {len(delays)}" if delays else UNKNOWN)
    return cells[0], cells[1]


def _delays(score: DetectionScore) -> tuple[str, str]:
    return decimal(score.mean_delay), decimal(score.max_delay, digits=0)


def _alarms(score: DetectionScore) -> tuple[str, str, str]:
    alarms = decimal(score.false_alarms_per_1000, digits=2)
    return alarms, str(score.num_false_alarms), str(score.num_stationary_frames)


def _shown(events: Sequence[tuple[int, str]], most: int = 12) -> str:
    words = [f"{kind[0]}{frame}" for frame, kind in events[:most]]
    return " ".join([*words, *(["..."] if len(events) > most else [])]) or UNKNOWN
