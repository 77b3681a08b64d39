"""Which driver plays a run, and how: in lockstep, on a simulated clock, or live.

Reads the run's part of the configuration, for `runtime/build.py`.
"""

import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from runtime.adaptation.cycle import AdaptationCycle
from runtime.config import RunConfig
from runtime.lanes import Lane
from runtime.latency import latency_of
from runtime.live import Live
from runtime.lockstep import Lockstep
from runtime.observer import Event
from runtime.option_words import parse_threads
from runtime.predictor import Predictor
from runtime.rules import LiveRules, ThreadBudget, max_age_s
from runtime.simulated import Simulated, SimulatedClock, SimulatedLearning, Simulation, StrictView
from runtime.slack import OneAhead, SlackGate
from runtime.weights import VersionedWeights
from streams.stream import Stream


class Driver(Protocol):
    """Runs the stream to its end, every event through `dispatch`."""

    def run(self, dispatch: Callable[[Event], None], stop: threading.Event) -> None: ...

    def queue_depths(self) -> Mapping[str, Callable[[], float]]: ...

    def silences(self) -> Mapping[str, Callable[[], float]]: ...

    @property
    def left_behind(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Driven:
    """What a driver drives; `lane` is the learner's, and `slack` holds it back where it learns in gaps."""

    stream: Stream
    predictor: Predictor
    cycle: AdaptationCycle
    lane: Lane
    slack: SlackGate | None


def simulation_of(run: RunConfig, weights: VersionedWeights, *, measure: Callable[[], float]) -> Simulation | None:
    """None where the run goes by no simulated clock."""
    if run.latency is None:
        return None
    return Simulation(latency_of(run.latency), SimulatedClock(), StrictView(weights), measure)


def build_driver(
    run: RunConfig, driven: Driven, clock: Callable[[], float], *, simulation: Simulation | None
) -> Driver:
    """The driver of the configured pace."""
    stream, predictor, cycle = driven.stream, driven.predictor, driven.cycle
    if simulation is not None:
        learning = SimulatedLearning(cycle, simulation)
        return Simulated(stream, predictor, learning, simulation, shares_device=run.adapt != "thread")
    if run.pace == "lockstep":
        return Lockstep(stream, predictor, cycle, clock=clock)
    rules = _live_rules(run, driven)
    return Live(stream, predictor, cycle, clock=clock, rules=rules)


def _live_rules(run: RunConfig, driven: Driven) -> LiveRules:
    stream = driven.stream
    return LiveRules(
        threads=_threads(run),
        adapt=run.adapt,
        is_lossless=run.pace == "max" and not stream.is_live,
        max_age_s=max_age_s(stream.fps) if run.pace == "live" else math.inf,
        lane=driven.lane,
        slack=driven.slack,
    )


def _fills_gaps(run: RunConfig) -> bool:
    """At pace max inference waits for nothing, and nobody for it."""
    return run.adapt == "gaps" and run.pace == "live"


def slack_of(run: RunConfig, lane: Lane, *, clock: Callable[[], float]) -> SlackGate | None:
    """None where learning is not held back. On a host a segment is over when its last call returns."""
    if not _fills_gaps(run):
        return None
    is_host = lane.device.type == "cpu"
    return SlackGate(clock=clock) if is_host else SlackGate(clock=clock, finish_segment=OneAhead(lane.record))


def _threads(run: RunConfig) -> ThreadBudget:
    if run.threads is not None:
        return ThreadBudget(*parse_threads(run.threads))
    num_cores = len(os.sched_getaffinity(0))
    takes_turns = run.adapt == "inline" or _fills_gaps(run)
    return ThreadBudget(num_cores, num_cores) if takes_turns else ThreadBudget.of_cores(num_cores)
