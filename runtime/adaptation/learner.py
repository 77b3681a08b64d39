"""The learner: turns target frames into published versions, and survives whatever goes wrong on the way.

It owns the student, its optimizer and the averaged weights. A step is: loss of the method, AdamW, exponential
average of the weights (Tarvainen and Valpola 2017, "Mean teachers", eq. 2), guard, publication of the average. The
served model is that average. A failed or refused step rolls student and average back to the newest published
version.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, copy_adaptable, only_learning, outermost_parameters
from runtime.adaptation.method import Method, Target
from runtime.effort import Depth
from runtime.events import AdaptationStep, Rollback
from runtime.guard import Guard
from runtime.weights import VersionedWeights

RELAX_SHARE = 0.5  # of the way back to the source weights, per frame
RELAX_STEPS = 10  # 0.5^10 = 0.1 % of the offset is left; then the source weights are taken exactly
MAX_GRADIENT_NORM = 1.0


class Learner:
    """One owner thread calls `learn` and `relax`; readers see only `weights`."""

    def __init__(
        self,
        student: SegmentationModel,
        method: Method,
        weights: VersionedWeights,
        *,
        guard: Guard,
        optimizer: torch.optim.Optimizer,
        ema_decay: float,
        clock: Callable[[], float],
    ) -> None:
        self._student = student
        self._method = method
        self._weights = weights
        self._guard = guard
        self._optimizer = optimizer
        self._learning_rate = float(optimizer.param_groups[0]["lr"])
        self._ema_decay = ema_decay
        self._clock = clock
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._outermost = outermost_parameters(student)
        self._trained = adaptable_tensors(student)
        self._average = {name: tensor.detach().clone() for name, tensor in weights.latest.tensors.items()}
        self._num_relaxed = RELAX_STEPS

    @property
    def is_at_source(self) -> bool:
        """True while the served weights equal the source's."""
        return self._num_relaxed >= RELAX_STEPS

    def learn(
        self, target: Target, *, rate_share: float = 1.0, depth: Depth = "all"
    ) -> tuple[AdaptationStep, Rollback | None]:
        """One step on one frame at a share of the learning rate; what goes wrong is an outcome, never raised.

        At depth "head" everything but the trainable part nearest the output keeps its values and optimizer state.
        """
        started_at_s = self._clock()
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate * rate_share
        loss_value = float("nan")
        try:
            outcome, detail, loss_value = self._attempt(target, depth)
        except Exception as error:  # the boundary of rule "no failure of learning stops prediction"
            outcome, detail = ("oom" if is_out_of_memory(error) else "error"), f"{type(error).__name__}: {error}"
        # The exception is gone by here, and with it the frames that held the step's tensors: now memory comes back.
        rollback = None
        if outcome == "applied":
            self._num_relaxed = 0
            self._weights.publish(self._average, frame_index=target.frame_index)
        else:
            rollback = self._roll_back(target.frame_index, detail)
        return self._report(target.frame_index, outcome, loss_value, started_at_s, detail), rollback

    def relax(self, frame_index: int) -> AdaptationStep:
        """Pull student and average towards the source weights; exactly there after RELAX_STEPS calls."""
        started_at_s = self._clock()
        self._num_relaxed += 1
        source = self._weights.source.tensors
        share = 1.0 if self.is_at_source else RELAX_SHARE
        with torch.no_grad():
            for name, tensor in source.items():
                self._average[name].lerp_(tensor, share)
                self._trained[name].lerp_(tensor, share)
        self._optimizer.state.clear()
        self._weights.publish(self._average, frame_index=frame_index)
        return self._report(frame_index, "relaxed", float("nan"), started_at_s, "")

    def _attempt(self, target: Target, depth: Depth) -> tuple[str, str, float]:
        """Loss and descent: outcome, detail, loss."""
        self._optimizer.zero_grad(set_to_none=True)
        with only_learning(self._student, self._parameters if depth == "all" else self._outermost):
            loss = self._method.loss(self._student, target)
            value = float(loss.detach())
            return *self._descend(loss, value), value

    def recover(self, frame_index: int) -> Rollback:
        """After an exception nobody foresaw: student, average and optimizer go back to the newest version."""
        return self._roll_back(frame_index, "restarted after a failure")

    def retire(self) -> None:
        """Publish nothing any more. Any thread."""
        self._weights.retire_writer()

    def _descend(self, loss: Tensor, loss_value: float) -> tuple[str, str]:
        """Backward, step, average, guard: the outcome and its detail."""
        if loss_value != loss_value or loss_value in (float("inf"), float("-inf")):
            return "nonfinite", f"loss is {loss_value}"
        torch.autograd.backward(loss)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM))
        if norm != norm or norm == float("inf"):
            return "nonfinite", f"gradient norm is {norm}"
        self._optimizer.step()
        with torch.no_grad():
            for name, average in self._average.items():
                average.lerp_(self._trained[name].detach(), 1 - self._ema_decay)
        refusal = self._guard.refusal(self._average)
        return ("refused_guard", refusal) if refusal else ("applied", "")

    def _roll_back(self, frame_index: int, reason: str) -> Rollback:
        good = self._weights.latest
        copy_adaptable(self._student, good.tensors)
        with torch.no_grad():
            for name, tensor in good.tensors.items():
                self._average[name].copy_(tensor)
        self._optimizer.zero_grad(set_to_none=True)
        self._optimizer.state.clear()
        return Rollback(frame_index=frame_index, version=good.number, reason=reason, at_s=self._clock())

    def _report(self, frame_index: int, outcome: str, loss: float, started_at_s: float, detail: str) -> AdaptationStep:
        now_s = self._clock()
        return AdaptationStep(
            frame_index=frame_index,
            outcome=outcome,
            loss=loss,
            learning_rate=float(self._optimizer.param_groups[0]["lr"]),
            duration_s=now_s - started_at_s,
            version=self._weights.latest.number,
            at_s=now_s,
            detail=detail,
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed: Python's, an accelerator's, or the host's, which torch tells by its text alone."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
