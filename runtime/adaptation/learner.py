"""The learner: turns target frames into candidates for serving, and survives whatever goes wrong on the way.

It owns the student and the descent. A step is: loss of the method, AdamW, exponential average of the weights
(Tarvainen and Valpola 2017, "Mean teachers", eq. 2), guard, and publication where it is trusted; the last three are the
candidate's (`candidate.py`). The served model is that average. A failed or refused step rolls student and average back
to the last good candidate.
"""

# H height, W width

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, copy_adaptable, only_learning, outermost_parameters
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.descent import Descent
from runtime.adaptation.method import Method, Target
from runtime.effort import Depth
from runtime.events import AdaptationStep, Prediction, Recall, Rollback, StatisticsTaken, TrustChanged, Weighed
from runtime.state import State, kept, restore, state_of
from streams.frame import Frame

RELAX_SHARE = 0.5  # of the way back to the source weights, per frame
RELAX_STEPS = 10  # 0.5^10 = 0.1 % of the offset is left; then the source weights are taken exactly
MAX_REFUSED = 5  # steps in a row that failed or were refused, until learning starts from the source again


class Learner:
    """One owner thread calls it; what it learns reaches prediction through the candidate."""

    def __init__(
        self,
        student: SegmentationModel,
        method: Method,
        candidate: Candidate,
        descent: Descent,
        *,
        ema_decay: float,
        clock: Callable[[], float],
    ) -> None:
        self._student = student
        self._method = method
        self._candidate = candidate
        self._descent = descent
        self._ema_decay = ema_decay
        self._clock = clock
        self._outermost = outermost_parameters(student)
        self._trained = adaptable_tensors(student)
        self._num_relaxed = RELAX_STEPS
        self._num_refused = 0

    @property
    def is_at_source(self) -> bool:
        """True while student and candidate equal the source."""
        return self._num_relaxed >= RELAX_STEPS

    @property
    def is_weighed(self) -> bool:
        """Whether comparisons with the frozen model decide what serves."""
        return self._candidate.is_weighed

    @property
    def is_surely_trusted(self) -> bool:
        """Whether the next comparison with the frozen model can wait."""
        return self._candidate.is_surely_trusted

    @property
    def is_at_home(self) -> bool:
        """Whether the newest frame looks like those the weights at hand were learnt for, as far as is remembered."""
        return self._candidate.is_at_home

    def learn(
        self, target: Target, *, rate_share: float = 1.0, depth: Depth = "all", num_descents: int = 1
    ) -> tuple[AdaptationStep, Rollback | None]:
        """One step on one frame at a share of the learning rate; what goes wrong is an outcome, never raised.

        With several descents what they come to is judged and published once. The loss reported is the last one's.
        At depth "head" everything but the trainable part nearest the output keeps its values and optimizer state.
        """
        started_at_s = self._clock()
        loss_value = float("nan")
        try:
            outcome, detail, loss_value = self._attempt(target, depth, rate_share, num_descents)
        except Exception as error:  # the boundary of rule "no failure of learning stops prediction"
            outcome, detail = ("oom" if is_out_of_memory(error) else "error"), f"{type(error).__name__}: {error}"
        # The exception is gone by here, and with it the frames that held the step's tensors: now memory comes back.
        if outcome == "oom" and torch.cuda.is_available():
            torch.cuda.empty_cache()
        rollback = None
        if outcome in ("applied", "shadowed"):
            self._num_relaxed = self._num_refused = 0
        elif outcome != "skipped":
            rollback = self._roll_back(target.frame_index, detail, cause=outcome)
        return self._report(target.frame_index, outcome, loss_value, started_at_s, detail), rollback

    def relax(self, frame_index: int) -> AdaptationStep:
        """Pull student and candidate towards the source weights; exactly there after RELAX_STEPS calls."""
        started_at_s = self._clock()
        self._candidate.leave()
        self._num_relaxed += 1
        if self.is_at_source:
            self._start_over()
        else:
            with torch.no_grad():
                for name, tensor in self._candidate.source.items():
                    self._trained[name].lerp_(tensor, RELAX_SHARE)
            self._candidate.follow(self._trained, share=1.0)
            self._descent.forget()
        return self._report(frame_index, "relaxed", float("nan"), started_at_s, "")

    def recall(self, frame_index: int, features_F: np.ndarray) -> Sequence[Recall | TrustChanged]:
        """Look at a frame's appearance; where it is a known domain's, go on from what was learnt there before."""
        events = self._candidate.recall(frame_index, features_F)
        if any(isinstance(event, Recall) and not event.refusal for event in events):
            self._num_relaxed = self._num_refused = 0
            self._take(self._candidate.good)
        return events

    def follow_stream(self, frame: Frame, features_F: np.ndarray, *, period: int) -> StatisticsTaken | None:
        """In weather far from the source serve under the stream's own statistics; what was taken of this frame, if it
        was its turn. `period` is how many times as many frames as usual lie between two turns.
        """
        return self._candidate.follow_stream(frame, features_F, period=period)

    def weigh(
        self, prediction: Prediction, frozen_HW: np.ndarray, *, distance: float
    ) -> Sequence[Weighed | TrustChanged]:
        """Compare adapted and frozen (uint8 labels) on a frame just predicted, in weather at that distance from the
        source (1 is its edge); what came of it, and what serves now, if that changed.
        """
        return self._candidate.weigh(prediction, frozen_HW, distance=distance)

    def doubt(self) -> None:
        """Find out anew whether what was learnt is worth serving."""
        self._candidate.doubt()

    def distrust(self, frame_index: int) -> TrustChanged | None:
        """Let the frozen model serve; the change, if it is one."""
        return self._candidate.distrust(frame_index)

    def _attempt(self, target: Target, depth: Depth, rate_share: float, num_descents: int) -> tuple[str, str, float]:
        """Losses, descents, averages, then the guard: outcome, detail, loss."""
        value = math.nan
        for _ in range(num_descents):
            self._descent.prepare()
            with only_learning(self._student, self._descent.parameters if depth == "all" else self._outermost):
                loss = self._method.loss(self._student, target)
                if loss is None:
                    return "skipped", "", math.nan
                value = float(loss.detach())
                if detail := self._descent.step(loss, value, rate_share=rate_share * self._method.rate()):
                    return "nonfinite", detail, value
            self._method.settle(self._student)
            if self._method.starts_over():
                self._descent.forget()
            self._candidate.follow(self._trained, share=1 - self._ema_decay)
        return *self._candidate.submit(target.frame_index, target.appearance_F), value

    def recover(self, frame_index: int) -> Rollback:
        """After an exception nobody foresaw: student, candidate and optimizer go back to the last good candidate."""
        return self._roll_back(frame_index, "restarted after a failure", cause="restart")

    def retire(self) -> None:
        """Publish nothing any more. Any thread."""
        self._candidate.retire()

    def state(self) -> State:
        """Copies of student, candidate and descent, and the method's own state."""
        return {
            "student": {name: kept(tensor) for name, tensor in self._trained.items()},
            "candidate": self._candidate.state(),
            "descent": self._descent.state(),
            "num_relaxed": self._num_relaxed,
            "num_refused": self._num_refused,
            "method": state_of(self._method),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "student": dict(student),
                "candidate": dict(candidate),
                "descent": dict(descent),
                "num_relaxed": int(num_relaxed),
                "num_refused": int(num_refused),
                "method": dict(method),
            }:
                self._num_relaxed, self._num_refused = num_relaxed, num_refused
            case _:
                raise ValueError(f"not the state of a learner: it has the keys {sorted(state)}")
        with torch.no_grad():
            for name, tensor in self._trained.items():
                tensor.copy_(cast(Tensor, student[name]))
        self._candidate.load_state(candidate)
        self._descent.load_state(descent)
        restore(self._method, method)

    def _roll_back(self, frame_index: int, reason: str, *, cause: str) -> Rollback:
        """To the last good candidate; to the source after MAX_REFUSED failures in a row, for then that is no good."""
        self._num_refused += 1
        if self._num_refused >= MAX_REFUSED:
            self._start_over()
        else:
            self._candidate.restore()
            self._take(self._candidate.good)
        version = self._candidate.serving_version
        return Rollback(frame_index, version, reason, self._clock(), cause)

    def _start_over(self) -> None:
        self._num_relaxed, self._num_refused = RELAX_STEPS, 0
        self._candidate.start_over()
        self._take(self._candidate.source)

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        """The student goes on from these values, without memory of how it got where it was."""
        copy_adaptable(self._student, tensors)
        self._descent.prepare()
        self._descent.forget()

    def _report(self, frame_index: int, outcome: str, loss: float, started_at_s: float, detail: str) -> AdaptationStep:
        now_s = self._clock()
        return AdaptationStep(
            frame_index=frame_index,
            outcome=outcome,
            loss=loss,
            learning_rate=self._descent.learning_rate,
            duration_s=now_s - started_at_s,
            version=self._candidate.serving_version,
            at_s=now_s,
            detail=detail,
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed: Python's, an accelerator's, or the host's, which torch tells by its text alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
