"""Stream, seed and configuration fix every mask, version and event; lockstep and live are the same parts.

Versions are compared by a digest of all their tensors, taken whenever the next frame is asked for.
"""

import math
import threading
from dataclasses import dataclass, field

import pytest

from models.tensorfile import tensors_digest
from runtime import events
from runtime.build import Parts, build
from runtime.live import Live
from runtime.lockstep import Lockstep
from runtime.rules import LiveRules, ThreadBudget
from runtime.slack import SlackGate
from tests.fakes import ManualClock
from tests.runtime.test_lockstep import facts

PATIENCE_S = 60.0
NUM_FRAMES = 12


class Turns:
    """Lets a frame out only when everything the frame before it set off is over."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._done = -1

    def is_over(self, index: int) -> None:
        with self._changed:
            self._done = index
            self._changed.notify_all()

    def wait_for(self, index: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._done >= index, PATIENCE_S)


class InTurn:
    """A stream whose frames take turns; `between` is called between any two, while nothing computes."""

    def __init__(self, stream, turns: Turns, between) -> None:
        self._stream = stream
        self._turns = turns
        self._between = between

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def __iter__(self):
        for frame in self._stream:
            yield frame
            self._turns.wait_for(frame.index)
            self._between()


class Telling:
    """A cycle that says when it is done with a frame."""

    def __init__(self, cycle, turns: Turns) -> None:
        self._cycle = cycle
        self._turns = turns

    def __getattr__(self, name: str):
        return getattr(self._cycle, name)

    def consider(self, predictions):
        yield from self._cycle.consider(predictions)
        self._turns.is_over(predictions[-1].frame.index)


@dataclass
class Run:
    """What there is to compare: events without their times, and the digest of the newest version after every frame."""

    seen: list[tuple] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[tuple]:
        return [fact for fact in self.seen if fact[0] == name]


def collect(parts: Parts, driver, run: Run) -> Run:
    driver.run(lambda event: run.seen.append(facts(event)), threading.Event())
    run.digests.append(tensors_digest(parts.weights.latest.tensors))
    return run


def play(config, *, adapt: str | None = None) -> Run:
    """In lockstep, or by the live driver with a clock that stands still and one frame at a time."""
    clock = ManualClock()
    parts, run, turns = build(config, clock=clock), Run(), Turns()
    built = parts.driver
    assert isinstance(built, Lockstep)
    stream = InTurn(parts.stream, turns, lambda: run.digests.append(tensors_digest(parts.weights.latest.tensors)))
    cycle = Telling(built._cycle, turns)
    if adapt is None:
        return collect(parts, Lockstep(stream, built._predictor, cycle, clock=clock), run)
    slack = SlackGate(clock=clock) if adapt == "gaps" else None
    rules = LiveRules(ThreadBudget(1, 1), adapt=adapt, is_lossless=True, max_age_s=math.inf, slack=slack)
    return collect(parts, Live(stream, built._predictor, cycle, clock=clock, rules=rules), run)


@pytest.fixture(scope="module", params=["dusk", "street"])
def config(request, tiny_world):
    """Recorded pictures unlike the source, and a rendered street, every frame of which is learned from."""
    streams = {
        "dusk": {"stream": "dataset:camvid:test_dusk"},
        "street": {"stream": "rain_sequence", "size": "32x64"},
    }

    def make(**run):
        stream = streams[request.param] | {"max_frames": NUM_FRAMES}
        adaptation = {"policy": "bare"} if request.param == "street" else {}
        return tiny_world.config(stream=stream, run={"pace": "lockstep"} | run, adaptation=adaptation)

    return make


@pytest.fixture(scope="module")
def lockstep(config):
    return play(config())


def test_there_is_something_to_compare(request, lockstep) -> None:
    assert len(lockstep.of("Prediction")) == NUM_FRAMES == len(lockstep.of("ShadowPrediction"))
    assert len(lockstep.of("AdaptationStep")) >= NUM_FRAMES // 2 <= len(set(lockstep.digests))
    assert lockstep.of("ShiftEvent") != [] or "street" in request.node.name


def test_two_lockstep_runs_are_the_same(config, lockstep) -> None:
    again = play(config())
    assert again.seen == lockstep.seen and again.digests == lockstep.digests


@pytest.mark.parametrize("adapt", ["gaps", "thread", "inline"])
def test_live_with_a_fixed_interleaving_is_lockstep(config, lockstep, adapt) -> None:
    """Threads, queues and hand-overs between the same parts, and not one event more, less or in another place."""
    live = play(config(), adapt=adapt)
    assert live.seen == lockstep.seen and live.digests == lockstep.digests


def test_another_seed_makes_another_run(config, lockstep) -> None:
    other = play(config(seed=1))
    assert other.digests[-1] != lockstep.digests[-1]
    assert [step for step in other.of("AdaptationStep")] != lockstep.of("AdaptationStep")


def test_live_that_learns_inline_and_loses_nothing_is_lockstep(tiny_world) -> None:
    """As built from a configuration, the stream running ahead: only captures come earlier."""

    def of_pace(pace: str) -> list[tuple]:
        run = {"pace": pace, "adapt": "inline", "shadow": 1.0, "threads": "1+1"}
        parts = build(tiny_world.config(run=run))
        seen = collect(parts, parts.driver, Run())
        assert seen.of("AdaptationStep") and len(seen.of("FrameCaptured")) == NUM_FRAMES
        return [fact for fact in seen.seen if fact[0] != events.FrameCaptured.__name__] + seen.digests

    assert of_pace("max") == of_pace("lockstep")
