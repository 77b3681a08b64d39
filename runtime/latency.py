"""How long answers and learning take on a simulated clock: so many milliseconds, or as long as they took here."""

from dataclasses import dataclass
from typing import Protocol


class Latency(Protocol):
    """Seconds that something takes there which took `measured_s` here: an answer, a learning step, and whatever else
    the learner does between two of them.
    """

    def answer_s(self, measured_s: float) -> float: ...

    def step_s(self, measured_s: float) -> float: ...

    def upkeep_s(self, measured_s: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every answer and for every step, whatever was measured; upkeep is free."""

    answer: float
    step: float

    def answer_s(self, measured_s: float) -> float:
        del measured_s
        return self.answer

    def step_s(self, measured_s: float) -> float:
        del measured_s
        return self.step

    def upkeep_s(self, measured_s: float) -> float:
        del measured_s
        return 0.0


class Measured:
    """What was measured: a run is as good as this machine is quick and quiet, and does not repeat exactly."""

    def answer_s(self, measured_s: float) -> float:
        return measured_s

    def step_s(self, measured_s: float) -> float:
        return measured_s

    def upkeep_s(self, measured_s: float) -> float:
        return measured_s
