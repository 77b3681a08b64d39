"""Scores in which lateness counts: streaming and deadline mIoU, over every frame that was captured.

Streaming (Li, Wang, Ramanan 2020, "Towards streaming perception", arXiv 2005.10420): as frame i is captured, the latest
answer there is by then is scored against frame i's label; its frame is an earlier one, so being late costs as much as
the street has moved. Before the first answer every pixel is wrong. Deadline: the answer to frame i counts where it
comes within D of the capture; one that is later, or never comes, is wrong on every pixel.

Both need times that mean something: those of a live run, or of a lockstep run on a simulated clock
(`runtime/simulated.py`), in which a version serves only from the end of its step on. In plain lockstep the stream waits
for each answer, and nothing is scored here. A dropped frame counts as well. What is claimed holds for the device, load
and rate of that run, or for the simulation's assumptions; a frame without a label counts nowhere.
"""

# H height, W width, K classes (rows: truth, columns: prediction)

import math
from collections import deque
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from evaluation.confusion import count_pixels, iou_by_class
from runtime.events import FrameCaptured, Prediction, RunFinished, RunStarted
from runtime.observer import Event
from runtime.state import State

DEADLINES_MS = (10.0, 20.0, 33.0, 50.0, 66.0, 100.0, 150.0, 200.0, 300.0, 500.0, 1000.0)
TIE_S = 1e-6  # two instants nearer than that are one
HISTORY = 4  # answers; the latest at an instant is one of the last three, as one is computed at a time
MAX_PENDING = 512  # captured frames that wait for a later answer


@dataclass(frozen=True, slots=True)
class TimedFigures:
    """mIoU in [0, 1] over all frames and its harmonic mean over visits; `deadline_ms` inf is for streaming."""

    deadline_ms: float
    miou: float
    hmean: float


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    index: int
    at_s: float
    label_HW: np.ndarray
    domain: str


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    finished_at_s: float
    labels_HW: np.ndarray


class VoidTally:
    """Counts in which answers may be missing: over all frames, and a harmonic mean over visits."""

    def __init__(self, num_classes: int) -> None:
        shape = (num_classes + 1, num_classes + 1)  # the last column is for no answer; there is no such truth
        self._total = np.zeros(shape, np.int64)
        self._visit = np.zeros(shape, np.int64)
        self._num_visits = 0
        self._reciprocals = 0.0

    def add(self, counts: np.ndarray) -> None:
        """One frame, K + 1 rows and columns."""
        self._total += counts
        self._visit += counts

    def leave(self) -> None:
        """The visit is over."""
        self._num_visits, self._reciprocals = self._with_open_visit()
        self._visit[:] = 0

    def figures(self, deadline_ms: float) -> TimedFigures:
        """So far, the visit that is not over included."""
        num, reciprocals = self._with_open_visit()
        return TimedFigures(deadline_ms, _miou(self._total), num / reciprocals if num else math.nan)

    def state(self) -> State:
        """A copy."""
        return {
            "total": torch.from_numpy(self._total.copy()),
            "visit": torch.from_numpy(self._visit.copy()),
            "num_visits": self._num_visits,
            "reciprocals": self._reciprocals,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "total": Tensor() as total,
                "visit": Tensor() as visit,
                "num_visits": int(num_visits),
                "reciprocals": float(reciprocals),
            }:
                self._total, self._visit = total.numpy().copy(), visit.numpy().copy()
                self._num_visits, self._reciprocals = num_visits, reciprocals
            case _:
                raise ValueError(f"not the state of a tally with missing answers: it has the keys {sorted(state)}")

    def _with_open_visit(self) -> tuple[int, float]:
        miou = _miou(self._visit)
        if math.isnan(miou):
            return self._num_visits, self._reciprocals
        return self._num_visits + 1, self._reciprocals + (1.0 / miou if miou else math.inf)


class TimedScore:
    """Observer. Captured frames wait, as labels alone, for the next answer to theirs or to a later one."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._is_timed = False
        self._pending: deque[_Captured] = deque(maxlen=MAX_PENDING)
        self._answers: deque[_Answer] = deque(maxlen=HISTORY)
        self._domain: str | None = None
        self._period_ms = math.nan
        self._streaming = VoidTally(num_classes)
        self._deadlines = {deadline_ms: VoidTally(num_classes) for deadline_ms in DEADLINES_MS}

    def observe(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._is_timed = event.is_timed
                self._add_deadline(1000.0 / event.stream_fps)
            case FrameCaptured(label_HW=np.ndarray() as label_HW) if self._is_timed:
                self._pending.append(_Captured(event.index, event.at_s, label_HW, event.domain or ""))
            case Prediction() if self._is_timed:
                self._answer(event)
            case RunFinished():
                while self._pending:
                    self._score(self._pending.popleft(), None)

    def streaming(self) -> TimedFigures | None:
        """None where nothing was scored."""
        return None if self._domain is None else self._streaming.figures(math.inf)

    def deadlines(self) -> tuple[TimedFigures, ...]:
        """By deadline, tightest first, one frame period among them; none where nothing was scored."""
        if self._domain is None:
            return ()
        return tuple(tally.figures(deadline_ms) for deadline_ms, tally in sorted(self._deadlines.items()))

    def at_period(self) -> TimedFigures | None:
        """For the deadline that is one frame period; None where nothing was scored."""
        return None if self._domain is None else self._deadlines[self._period_ms].figures(self._period_ms)

    def state(self) -> State:
        """A copy. What waits is left out: the run that goes on captures it anew, by a clock of its own."""
        return {
            "domain": self._domain,
            "streaming": self._streaming.state(),
            "deadlines_ms": list(self._deadlines),
            "deadlines": {str(number): tally.state() for number, tally in enumerate(self._deadlines.values())},
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "domain": str() | None as domain,
                "streaming": dict(streaming),
                "deadlines_ms": list(deadlines_ms),
                "deadlines": dict(deadlines),
            }:
                self._domain = domain
                self._streaming.load_state(streaming)
                self._deadlines = {deadline_ms: VoidTally(self._num_classes) for deadline_ms in deadlines_ms}
                for number, tally in enumerate(self._deadlines.values()):
                    tally.load_state(cast(State, deadlines[str(number)]))
            case _:
                raise ValueError(f"not the state of a timed score: it has the keys {sorted(state)}")

    def _add_deadline(self, deadline_ms: float) -> None:
        """One frame period, which a run that goes on has already."""
        near = (known_ms for known_ms in self._deadlines if math.isclose(known_ms, deadline_ms))
        self._period_ms = next(near, deadline_ms)
        self._deadlines.setdefault(self._period_ms, VoidTally(self._num_classes))

    def _answer(self, prediction: Prediction) -> None:
        """Frames up to this one were captured before its answer was there: all they could be shown is known."""
        while self._pending and self._pending[0].index <= prediction.frame.index:
            frame = self._pending.popleft()
            self._score(frame, prediction if frame.index == prediction.frame.index else None)
        self._answers.append(_Answer(prediction.finished_at_s, prediction.labels_HW))

    def _score(self, frame: _Captured, prediction: Prediction | None) -> None:
        """One captured frame, and its own answer if it got one; frames whose label cannot be scored are left out."""
        shown = next((one for one in reversed(self._answers) if one.finished_at_s <= frame.at_s + TIE_S), None)
        try:
            streamed = self._counts(frame.label_HW, None if shown is None else shown.labels_HW)
            answered = streamed if prediction is None else self._counts(frame.label_HW, prediction.labels_HW)
        except ValueError:  # of a label file that is no label; `OnlineScore` counts these
            return
        if frame.domain != self._domain:
            for tally in (self._streaming, *self._deadlines.values()):
                tally.leave()
            self._domain = frame.domain
        self._streaming.add(streamed)
        void = np.zeros_like(answered)
        void[:, -1] = answered.sum(axis=1)
        for deadline_ms, tally in self._deadlines.items():
            is_in_time = prediction is not None and prediction.latency_s * 1e3 <= deadline_ms + 1e3 * TIE_S
            tally.add(answered if is_in_time else void)

    def _counts(self, label_HW: np.ndarray, labels_HW: np.ndarray | None) -> np.ndarray:
        if labels_HW is None:
            labels_HW = np.full(label_HW.shape, self._num_classes, np.uint8)
        return count_pixels(label_HW, labels_HW, self._num_classes + 1)


def _miou(counts: np.ndarray) -> float:
    """Over the real classes that are labelled or answered; a pixel without an answer is missed."""
    iou_K = iou_by_class(counts)[:-1]
    known = iou_K[~np.isnan(iou_K)]
    return float(known.mean()) if known.size else math.nan
