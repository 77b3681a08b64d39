"""The visits of a run in bounded memory: the newest in full, the last 256 as scores, all of them in the figures.

A visit is a maximal run of predicted frames of one domain, so a domain that returns is visited again. In live runs the
frozen model may answer a frame after the stream has moved on, so a visit stays open for a while after it was left;
then its counts shrink to a score. Knows counts and positions, not events or locks.
"""

# N visits

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from evaluation.visits import VisitTally
from runtime.scores import VisitScore
from runtime.state import State

MAX_LISTED = 256
LATE_FRAMES = 128  # predictions after which no shadow of a visit is waited for; the learner lags by two inboxes of 16


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures over any number of visits, by sums of reciprocals: exact, and the same as over a list of them all.

    `compared` visits are those the frozen model was scored on too. A visit of mIoU 0 makes its sum infinite, and so the
    harmonic mean 0.
    """

    num: int = 0
    reciprocals: float = 0.0
    num_compared: int = 0
    reciprocals_compared: float = 0.0
    reciprocals_frozen: float = 0.0
    worst_drop: float = math.nan

    def add(self, visit: VisitScore) -> "Totals":
        """With one more visit."""
        totals = replace(self, num=self.num + 1, reciprocals=self.reciprocals + _reciprocal(visit.miou))
        if math.isnan(visit.miou_frozen):
            return totals
        drop = visit.miou_frozen - visit.miou
        return replace(
            totals,
            num_compared=self.num_compared + 1,
            reciprocals_compared=self.reciprocals_compared + _reciprocal(visit.miou),
            reciprocals_frozen=self.reciprocals_frozen + _reciprocal(visit.miou_frozen),
            worst_drop=drop if math.isnan(self.worst_drop) else max(self.worst_drop, drop),
        )

    @property
    def hmean(self) -> float:
        """Harmonic mean over compared visits, over all of them where none was compared; nan of none."""
        if self.num_compared:
            return self.num_compared / self.reciprocals_compared
        return self.num / self.reciprocals if self.num else math.nan

    @property
    def hmean_frozen(self) -> float:
        """Harmonic mean of the frozen model over compared visits; nan of none."""
        return self.num_compared / self.reciprocals_frozen if self.num_compared else math.nan


@dataclass(frozen=True, slots=True)
class VisitFigures:
    """The newest `MAX_LISTED` scored visits, how many frames each of them but the run's first took to recover, and the
    figures over all visits there were.
    """

    visits: tuple[VisitScore, ...]
    recovery_frames: tuple[int | None, ...]
    totals: Totals


class VisitLog:
    """One owner enters every predicted frame, in order."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._num_visits = 0
        self._num_predictions = 0
        self._open: deque[VisitTally] = deque()
        self._finished: deque[tuple[VisitScore, int | None]] = deque(maxlen=MAX_LISTED)
        self._totals = Totals()

    def enter(self, domain: str, *, frame_index: int) -> VisitTally:
        """The visit of a frame just predicted; a change of domain begins a new one."""
        self._num_predictions += 1
        if not self._open or self._open[-1].name != domain:
            tally = VisitTally(
                domain, visit=self._num_visits, first_frame=frame_index, num_classes=self._num_classes
            )
            self._open.append(tally)
            self._num_visits += 1
        self._open[-1].last_prediction = self._num_predictions
        while self._num_predictions - self._open[0].last_prediction > LATE_FRAMES:
            self._finish(self._open.popleft())
        return self._open[-1]

    def find(self, frame_index: int) -> VisitTally | None:
        """The visit a frame entered earlier belongs to; None once that is finished."""
        position = bisect_right(self._open, frame_index, key=lambda visit: visit.first_frame)
        return self._open[position - 1] if position else None

    def figures(self) -> VisitFigures:
        """Everything so far, open visits included."""
        scored = [(score, tally.recovery.frames()) for tally in self._open if (score := tally.score()) is not None]
        totals = self._totals
        for score, _ in scored:
            totals = totals.add(score)
        listed = [*self._finished, *scored][-MAX_LISTED:]
        has_first = totals.num == len(listed)  # the run's first visit has nothing to recover from
        return VisitFigures(
            visits=tuple(score for score, _ in listed),
            recovery_frames=tuple(frames for _, frames in listed[has_first:]),
            totals=totals,
        )

    def state(self) -> State:
        """A copy."""
        totals, finished = self._totals, self._finished
        numbers_N7 = np.array([_numbers(score, frames) for score, frames in finished], dtype=np.float64)
        return {
            "num_visits": self._num_visits,
            "num_predictions": self._num_predictions,
            "open": {str(position): tally.state() for position, tally in enumerate(self._open)},
            "names": [score.name for score, _ in finished],
            "numbers_N7": torch.from_numpy(numbers_N7.reshape(len(finished), 7)),
            "nums": [totals.num, totals.num_compared],
            "sums": torch.tensor(
                (
                    *(totals.reciprocals, totals.reciprocals_compared),
                    *(totals.reciprocals_frozen, totals.worst_drop),
                ),
                dtype=torch.float64,
            ),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "num_visits": int(num_visits),
                "num_predictions": int(num_predictions),
                "open": dict(tallies),
                "names": list(names),
                "numbers_N7": Tensor() as numbers_N7,
                "nums": [num, num_compared],
                "sums": Tensor() as sums,
            }:
                self._num_visits, self._num_predictions = num_visits, num_predictions
                own = (cast(State, tallies[str(position)]) for position in range(len(tallies)))
                self._open = deque(VisitTally.of_state(tally, num_classes=self._num_classes) for tally in own)
                rows = zip(names, numbers_N7.tolist(), strict=True)
                self._finished = deque((_from_numbers(*row) for row in rows), maxlen=MAX_LISTED)
                reciprocals, compared, frozen, drop = sums.tolist()
                self._totals = Totals(num, reciprocals, num_compared, compared, frozen, drop)
            case _:
                raise ValueError(f"not the state of a visit log: it has the keys {sorted(state)}")

    def _finish(self, tally: VisitTally) -> None:
        score = tally.score()
        if score is not None:
            self._finished.append((score, tally.recovery.frames()))
            self._totals = self._totals.add(score)


def _reciprocal(miou: float) -> float:
    return 1.0 / miou if miou != 0 else math.inf


def _numbers(score: VisitScore, frames: int | None) -> tuple[float, ...]:
    """A finished visit as floats, which hold every whole number up to 2^53."""
    recovered = math.nan if frames is None else frames
    counts = (score.visit, score.first_frame, score.frames, score.compared)
    return *counts, score.miou, score.miou_frozen, recovered


def _from_numbers(name: str, numbers: list[float]) -> tuple[VisitScore, int | None]:
    *counts, miou, miou_frozen, recovered = numbers
    visit, first_frame, num_frames, num_compared = (int(count) for count in counts)
    score = VisitScore(name, visit, first_frame, num_frames, num_compared, miou, miou_frozen)
    return score, None if math.isnan(recovered) else int(recovered)
