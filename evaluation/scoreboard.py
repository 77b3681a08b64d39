"""The scorer of a run: everything that compares answers with labels, one observer to whoever drives.

    scoreboard = Scoreboard(classes)
    scoreboard.observe(event)              # every event
    scoreboard.scores()                    # at any time: page, panel, metrics
    scoreboard.examine(before, after, held_out)  # at the end, if at all
    scoreboard.figures()                   # then: what summary.json gains
    scoreboard.save(run_dir)               # and the counts that figures over several runs are made from

It joins parts and computes nothing itself. IoU is shown in points, as everywhere in the run folder.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast  # Any: JSON

from evaluation.calibration import Calibration
from evaluation.forgetting import Forgetting, forgetting
from evaluation.lags import LagLog
from evaluation.online import OnlineScore
from evaluation.recurrence import mean_gain, recurrences
from evaluation.rounds import round_scores, worst_later_round
from evaluation.safety import class_safety
from evaluation.slices import SLICES_NAME, write_slices
from evaluation.subsets import subset_score
from evaluation.timed import TimedFigures, TimedScore
from runtime.exam import Predict
from runtime.observer import Event
from runtime.scores import POINTS, Scores
from runtime.state import State, Stateful
from streams.frame import Frame


class Scoreboard:
    """`observe` is called by one thread, `scores` by any; the rest belongs to the observing one.

    `subsets`: names of parts of the classes to score too (`evaluation.subsets`).
    """

    def __init__(self, classes: tuple[str, ...], *, subsets: tuple[str, ...] = ()) -> None:
        self.classes = classes
        self._subsets = subsets
        self._online = OnlineScore(classes)
        self._lags = LagLog()
        self._timed = TimedScore(len(classes))
        self._calibration = Calibration()
        self._forgetting: Forgetting | None = None

    def observe(self, event: Event) -> None:
        self._online.observe(event)
        self._lags.observe(event)
        self._timed.observe(event)
        self._calibration.observe(event)

    def scores(self) -> Scores | None:
        """Everything scored so far; None while no labelled frame was predicted."""
        return self._online.scores()

    def figures(self) -> dict[str, dict[str, Any]]:
        """What the summary gains, by section, as JSON values."""
        scores = self._online.scores()
        return {} if scores is None else {"quality": self._quality(scores)}

    def examine(self, before: Predict, after: Predict, samples: Iterable[Frame]) -> None:
        """Note what was forgotten of the source between two ways to answer; nothing where there are no samples.

        Samples are taken one by one, each when the one before is answered, so that their giver may end it between two.
        """
        left = iter(samples)
        if (first := next(left, None)) is not None:
            self._forgetting = forgetting(before, after, chain([first], left), num_classes=len(self.classes))

    def save(self, run_dir: Path) -> None:
        """Leave the run's counts in its folder, where both models answered anything. OSError when the disk refuses."""
        slices = self._online.slices()
        if len(slices):
            write_slices(run_dir / SLICES_NAME, slices)

    def state(self) -> State:
        """A copy."""
        return {name: part.state() for name, part in self._parts().items()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        for name, part in self._parts().items():
            part.load_state(cast(State, state[name]))

    def _parts(self) -> dict[str, Stateful]:
        return {"online": self._online, "lags": self._lags, "timed": self._timed, "calibration": self._calibration}

    def _quality(self, scores: Scores) -> dict[str, Any]:
        slices = self._online.slices()
        safety, rounds = class_safety(slices), round_scores(slices)
        windowed, windowed_frozen = self._online.windowed
        return {
            "gain": (scores.hmean - scores.hmean_frozen) * POINTS,
            "windowed": {"miou": windowed * POINTS, "miou_frozen": windowed_frozen * POINTS},
            "subsets": [_subset(name, scores) for name in self._subsets],
            "worst_window": self._online.worst_window * POINTS,
            "unsafe_classes": self._named(safety.over_run),
            "unsafe_visit": None
            if safety.worst_visit is None
            else {"visit": safety.worst_visit, "classes": self._named(safety.in_worst_visit)},
            "forgetting": self._forgotten(),
            "calibration": self._calibrated(),
            "lags": self._lag_rows(scores),
            "recurrence": _recurrence(scores),
            "rounds": [
                {"round": one.round, "hmean": one.hmean * POINTS, "hmean_frozen": one.hmean_frozen * POINTS}
                for one in rounds
            ],
            "worst_later_round": worst_later_round(rounds) * POINTS,
            "streaming": _timed(self._timed.streaming()),
            "deadline": _timed(self._timed.at_period()),
            "deadlines": [_timed(figures) for figures in self._timed.deadlines()],
        }

    def _forgotten(self) -> dict[str, Any] | None:
        found = self._forgetting
        if found is None:
            return None
        return {
            "samples": found.num_samples,
            "miou_before": found.miou_before * POINTS,
            "miou_after": found.miou_after * POINTS,
            "points_lost": found.points_lost,
            "classes_lost": self._named(found.classes_lost()),
        }

    def _calibrated(self) -> dict[str, Any]:
        served, frozen = self._calibration.served.reliability(), self._calibration.frozen.reliability()
        rows = zip(served.num_B, served.confidence_B, served.accuracy_B, frozen.num_B, frozen.accuracy_B, strict=True)
        keys = ("pixels", "confidence", "accuracy", "pixels_frozen", "accuracy_frozen")
        bins = [dict(zip(keys, row, strict=True)) for row in rows]
        return {"ece": served.ece, "ece_frozen": frozen.ece, "bins": bins}

    def _named(self, classes: Sequence[int]) -> list[str]:
        return [self.classes[k] for k in classes]

    def _lag_rows(self, scores: Scores) -> list[dict[str, Any]]:
        later = scores.visits[len(scores.visits) - len(scores.recovery_frames) :]
        plateaus = {visit.visit: frames for visit, frames in zip(later, scores.recovery_frames, strict=True)}
        return [
            {
                "visit": lag.visit,
                "name": lag.domain,
                "first_frame": lag.first_frame,
                "detected": lag.detected,
                "served": lag.served,
                "plateau": plateaus.get(lag.visit),
            }
            for lag in self._lags.lags()
        ]


def _timed(figures: TimedFigures | None) -> dict[str, float] | None:
    if figures is None:
        return None
    deadline = {} if math.isinf(figures.deadline_ms) else {"deadline_ms": figures.deadline_ms}
    return {**deadline, "miou": figures.miou * POINTS, "hmean": figures.hmean * POINTS}


def _subset(name: str, scores: Scores) -> dict[str, Any]:
    one = subset_score(name, scores)
    row = {"miou": one.miou * POINTS, "miou_frozen": one.miou_frozen * POINTS}
    return {"name": name, "classes": one.num_classes, **row}


def _recurrence(scores: Scores) -> dict[str, Any]:
    found = recurrences(scores.visits, scores.recovery_frames)
    gain, gain_frozen = mean_gain(found)
    recovered = [one.recovery_frames for one in found if one.recovery_frames is not None]
    return {
        "gain": gain * POINTS,
        "gain_frozen": gain_frozen * POINTS,
        "recovery_frames": max(recovered, default=None),
        "domains": [
            {
                "name": one.domain,
                "visits": one.num_visits,
                "first": one.first * POINTS,
                "later": one.later * POINTS,
                "first_frozen": one.first_frozen * POINTS,
                "later_frozen": one.later_frozen * POINTS,
                "recovery_frames": one.recovery_frames,
            }
            for one in found
        ],
    }
