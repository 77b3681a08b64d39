"""How long answers and learning take on a simulated clock: so many milliseconds, as long as they took here, or as long
as they took in an earlier run.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol  # Any: JSON

from runtime.option_words import ConfigError, parse_latency

EVENTS_NAME = "events.jsonl"
LIGHT_OUTCOMES = ("relaxed",)  # no forward in it: upkeep


class Latency(Protocol):
    """Seconds that something takes there which took `measured_s` here: an answer, the shadow's answer, a learning step,
    and whatever else the learner does between two of them.
    """

    def answer_s(self, measured_s: float) -> float: ...

    def shadow_s(self, measured_s: float) -> float: ...

    def step_s(self, measured_s: float) -> float: ...

    def upkeep_s(self, measured_s: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every answer and for every step, whatever was measured; upkeep, which has no forward pass in it, is
    free.
    """

    answer: float
    step: float

    def answer_s(self, measured_s: float) -> float:
        del measured_s
        return self.answer

    def shadow_s(self, measured_s: float) -> float:
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

    def shadow_s(self, measured_s: float) -> float:
        return measured_s

    def step_s(self, measured_s: float) -> float:
        return measured_s

    def upkeep_s(self, measured_s: float) -> float:
        return measured_s


class Recorded:
    """Given times in their order, and from the start again once they are used up; upkeep is free.

    The shadow takes as long as the latest answer. What there is no time of takes as long as it took here.
    """

    def __init__(self, answers_s: Iterable[float], steps_s: Iterable[float]) -> None:
        self._answers_s, self._steps_s = cycle(answers_s), cycle(steps_s)
        self._latest_s: float | None = None

    def answer_s(self, measured_s: float) -> float:
        self._latest_s = next(self._answers_s, measured_s)
        return self._latest_s

    def shadow_s(self, measured_s: float) -> float:
        return measured_s if self._latest_s is None else self._latest_s

    def step_s(self, measured_s: float) -> float:
        return next(self._steps_s, measured_s)

    def upkeep_s(self, measured_s: float) -> float:
        del measured_s
        return 0.0


def latency_of(words: str) -> Latency:
    """What `--latency` names; ConfigError where it names nothing, or a run without a single answer."""
    match parse_latency(words):
        case None:
            return Measured()
        case Path() as run_dir:
            return recorded(run_dir)
        case answer_ms, step_ms:
            return Constant(answer_ms / 1e3, step_ms / 1e3)


def recorded(run_dir: Path) -> Recorded:
    """The times of an earlier run, from its events; ConfigError where it never answered.

    A step that let predictions pass, as in a live run's gaps, was so much the longer: runs in lockstep are the ones
    that know how long steps take.
    """
    rows = list(_rows(run_dir / EVENTS_NAME))
    answers_s = [row["inference_ms"] / 1e3 for row in rows if row["event"] == "prediction"]
    if not answers_s:
        raise ConfigError(f"--latency {run_dir}: no answer in its {EVENTS_NAME}; give the folder of a finished run")
    steps = (row for row in rows if row["event"] == "adaptation_step" and row["outcome"] not in LIGHT_OUTCOMES)
    return Recorded(answers_s, [row["duration_ms"] / 1e3 for row in steps])


def _rows(events: Path) -> Iterator[dict[str, Any]]:
    """Whole lines; a run that was cut short may have left half a one."""
    for line in events.read_text(encoding="utf-8").splitlines():
        if line.endswith("}"):
            yield json.loads(line)
