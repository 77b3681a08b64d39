"""How deep to learn: hardware-aware modular training, HAMT.

    depth = agent.choose()                          # 1 to 4: the stages from this one on learn, those before rest
    with only_learning(student, parts_from(student, depth)): loss = ...
    agent.credit(float(mixed_loss))                 # to the choice before, whose step this loss comes after
    agent.note_time(depth, seconds)                 # where time may count

Colomer et al., ICCV 2023, arXiv 2307.15063, after Tonioni et al. 2019 (modular adaptation of stereo networks, arXiv
1810.05424). The gain of a choice is how far the loss fell below the straight line through the two before it. It is
weighted by how fast a step of that depth is, and a fading sum of gains is each depth's score; the highest is chosen,
the deepest where they are equal. A loss that rose lowers a depth's score, so that others get their turn.
"""

import math
from collections.abc import Sequence

from torch import nn

from models.mit import NUM_STAGES
from models.segformer import SegmentationModel
from models.trainable import stage_of
from runtime.state import State

SPEEDS = (4.21, 4.83, 5.11, 5.73)  # steps per second by depth 1 to 4, as released; what they are here is measured
TEMPERATURE = 1.75
MEMORY = 0.9  # of the scores, per step
TIME_SHARE = 0.1  # of the newest time in the running mean
FUSION = ("head.linear_fuse.", "head.bn.", "head.classifier.")


class DepthAgent:
    """Scores of the depths. Speeds are the released ones until times are noted, which keep their scale.

    A gain is weighted by w, a loss by 1 - w, so that slow depths pay more for what they spoil. The released code means
    that too but weights both by w: `is_released`.
    """

    def __init__(self, *, is_released: bool = False) -> None:
        self._is_released = is_released
        self._scores = [0.0] * NUM_STAGES
        self._times_s: list[float | None] = [None] * NUM_STAGES
        self._is_warm = [False] * NUM_STAGES  # not part of the state: a process that goes on is as cold as any
        self._losses: tuple[float, float] | None = None  # of the last step and of the one before
        self._chosen = 1
        self._credited = 1

    @property
    def scores(self) -> tuple[float, ...]:
        """By depth 1 to 4."""
        return tuple(self._scores)

    def choose(self) -> int:
        """The depth of the step that begins now."""
        self._chosen = self._scores.index(max(self._scores)) + 1
        return self._chosen

    def credit(self, loss: float) -> None:
        """Judge the last step's choice by the loss this step begins with; the first loss judges nothing."""
        last, before = self._losses or (loss, loss)
        gain = (2 * last - before) - loss
        if self._losses is None:
            self._credited = self._chosen
        weight = self.weights()[self._credited - 1]
        self._scores = [MEMORY * score for score in self._scores]
        self._scores[self._credited - 1] += (1 - MEMORY) * gain * self._share(gain, weight)
        self._losses = (loss, last)
        self._credited = self._chosen

    def weights(self) -> list[float]:
        """Softmax of the speeds, by depth 1 to 4."""
        powers = [math.exp(speed / TEMPERATURE) for speed in self.speeds()]
        return [power / sum(powers) for power in powers]

    def speeds(self) -> list[float]:
        """Released speeds, or for depths that were timed steps per second, scaled to the released mean over those."""
        timed = [(speed, 1.0 / time_s) for speed, time_s in zip(SPEEDS, self._times_s, strict=True) if time_s]
        if not timed:
            return list(SPEEDS)
        scale = sum(speed for speed, _ in timed) / sum(rate for _, rate in timed)
        return [scale / time_s if time_s else speed for speed, time_s in zip(SPEEDS, self._times_s, strict=True)]

    def note_time(self, depth: int, seconds: float) -> None:
        """How long a step of that depth took. The first in a process counts for nothing, since it allocates and picks
        kernels; nor does a clock that stands still.
        """
        was_warm, self._is_warm[depth - 1] = self._is_warm[depth - 1], True
        if seconds <= 0.0 or not was_warm:
            return
        known = self._times_s[depth - 1]
        self._times_s[depth - 1] = seconds if known is None else known + TIME_SHARE * (seconds - known)

    def _share(self, gain: float, weight: float) -> float:
        return weight if gain > 0 or self._is_released else 1.0 - weight

    def state(self) -> State:
        """Scores, times and the losses still to be compared with."""
        return {
            "scores": list(self._scores),
            "times_s": list(self._times_s),
            "losses": None if self._losses is None else list(self._losses),
            "chosen": self._chosen,
            "credited": self._credited,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "scores": list(scores),
                "times_s": list(times_s),
                "losses": list() | None as losses,
                "chosen": int(chosen),
                "credited": int(credited),
            } if len(scores) == len(times_s) == NUM_STAGES:
                self._scores = [float(score) for score in scores]
                self._times_s = [None if time_s is None else float(time_s) for time_s in times_s]
                self._losses = None if losses is None else (float(losses[0]), float(losses[1]))
                self._chosen, self._credited = chosen, credited
            case _:
                raise ValueError(f"not the state of a depth agent: it has the keys {sorted(state)}")


def parts_from(student: SegmentationModel, depth: int, *, is_released: bool = False) -> Sequence[nn.Parameter]:
    """The trainable parameters of stages `depth` to 4, of their embeddings in the head, and of what fuses and
    classifies. The released code means to train those last too, but freezes them: `is_released` leaves them out.
    """
    wanted = [f"head.linear_c.{stage}." for stage in range(depth - 1, NUM_STAGES)]
    wanted += () if is_released else FUSION
    return [
        p
        for name, p in student.named_parameters()
        if p.requires_grad and (name.startswith(tuple(wanted)) or depth <= stage_of(student, name) <= NUM_STAGES)
    ]
