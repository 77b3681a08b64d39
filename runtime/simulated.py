"""Lockstep on a simulated clock: what a live run would have served, had answers and steps taken the given times.

A frame is captured every period; one may wait for inference, and a newer one displaces it. An answer takes its time,
and learning computes in the gaps between answers (or beside them, as on a device of its own); while it is at work on
one step, further answers wait for it. Visibility is strict: a version serves only from the time its step would have
ended, so that no answer profits from learning that is still going on. By constant latencies a run repeats bit for bit.

What it claims: order and timing of captures, answers, drops and versions under these latencies. What it does not: a
step may be cut at any point for nothing, latencies do not grow with load, and the shadow, which scores, is free. To
weigh adapted against frozen model takes as long as answering the frame, once or twice, whoever answered it for the
scores. Of measured times all else that the learner does is charged.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace

from runtime.adaptation.cycle import AdaptationCycle
from runtime.events import AdaptationStep, FrameDropped, Prediction, ShadowPrediction, StatisticsTaken, Weighed
from runtime.inbox import INBOX_CAPACITY
from runtime.intake import FrameCheck, Freshness, captured
from runtime.latency import LIGHT_OUTCOMES, Latency
from runtime.observer import Event
from runtime.predictor import Predictor
from runtime.rules import max_age_s
from runtime.weights import Version, VersionedWeights
from streams.frame import Frame
from streams.stream import Stream

TIE_S = 1e-6  # two instants nearer than that are one


class SimulatedClock:
    """Seconds, on the scale of the clock it was begun by; whoever stamps events is handed it."""

    def __init__(self) -> None:
        self._begun_s = 0.0
        self.now_s = 0.0  # since it was begun

    def begin(self, at_s: float) -> None:
        """The run begins at that reading of another clock."""
        self._begun_s = at_s

    def __call__(self) -> float:
        return self._begun_s + self.now_s

    def at(self, now_s: float) -> float:
        """Move to `now_s` since the beginning; the reading there."""
        self.now_s = now_s
        return self()


class StrictView:
    """Published weights as far as they may be seen: `latest` is the version there was at the last `reveal`."""

    def __init__(self, weights: VersionedWeights) -> None:
        self._weights = weights
        self._latest = weights.latest

    @property
    def source(self) -> Version:
        return self._weights.source

    @property
    def latest(self) -> Version:
        return self._latest

    def reveal(self) -> None:
        """Whatever is published by now may serve."""
        self._latest = self._weights.latest


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """What a run on a simulated clock has in the place of clock and weights; `measure` is the clock it replaces."""

    latency: Latency
    clock: SimulatedClock
    view: StrictView
    measure: Callable[[], float]


class SimulatedLearning:
    """The learner's side: one piece of work at a time, which goes on as far as time is given to it."""

    def __init__(self, cycle: AdaptationCycle, simulation: Simulation) -> None:
        self._cycle = cycle
        self._view = simulation.view
        self._latency = simulation.latency
        self._clock = simulation.clock
        self._measure = simulation.measure
        self._inbox: deque[Prediction] = deque(maxlen=INBOX_CAPACITY)
        self._work_left_s: float | None = None

    def offer(self, prediction: Prediction) -> None:
        """An answer to learn from; where too many wait, the oldest is forgotten."""
        self._inbox.append(prediction)

    def spend(self, begin_s: float, end_s: float) -> Iterator[Event]:
        """Compute from `begin_s` to `end_s`. Events are told as work begins, answers see its outcome as it is done."""
        now_s = begin_s
        while now_s < end_s - TIE_S:
            if self._work_left_s is None:
                if not self._inbox:
                    return
                self._clock.at(now_s)
                waiting = list(self._inbox)
                self._inbox.clear()
                self._work_left_s = yield from self._consider(waiting)
            spent_s = min(end_s - now_s, self._work_left_s)
            now_s += spent_s
            self._work_left_s -= spent_s
            if self._work_left_s > TIE_S:
                return
            self._work_left_s = None
            self._view.reveal()

    def _consider(self, predictions: list[Prediction]) -> Generator[Event, None, float]:
        """What the cycle does with them, durations being the simulation's; returns the seconds all of it takes."""
        answers_s = {one.frame.index: one.finished_at_s - one.started_at_s for one in predictions}
        work_s, measured_s = 0.0, self._measure()
        for event in self._cycle.consider(predictions):
            took_s = self._measure() - measured_s
            match event:
                case ShadowPrediction():
                    yield replace(event, duration_s=event.duration_s or self._latency.shadow_s(took_s))
                case AdaptationStep(outcome=outcome) if outcome not in LIGHT_OUTCOMES:
                    step_s = self._latency.step_s(took_s)
                    work_s += step_s
                    yield replace(event, duration_s=step_s)
                case Weighed(num_forwards=num) | StatisticsTaken(num_forwards=num):
                    work_s += num * answers_s[event.frame_index]
                    yield event
                case _:
                    work_s += self._latency.upkeep_s(took_s)
                    yield event
            measured_s = self._measure()
        return work_s + self._latency.upkeep_s(self._measure() - measured_s)


class Simulated:
    """Drives a finite stream until it ends or `stop` is set. Its frames carry the time i / fps.

    `shares_device`: learning computes while inference does not; else always, as if it had a device of its own.
    """

    def __init__(
        self,
        stream: Stream,
        predictor: Predictor,
        learning: SimulatedLearning,
        simulation: Simulation,
        *,
        shares_device: bool,
    ) -> None:
        self._stream = stream
        self._predictor = predictor
        self._learning = learning
        self._latency = simulation.latency
        self._clock = simulation.clock
        self._measure = simulation.measure
        self._shares_device = shares_device
        self._freshness = Freshness(max_age_s(stream.fps), period_s=1.0 / stream.fps)
        self._free_at_s = 0.0  # when inference is done with what it has
        self._waiting: Frame | None = None

    def run(self, dispatch: Callable[[Event], None], stop: threading.Event) -> None:
        """Every event goes through `dispatch`, in the caller's thread."""
        for event in self._events():
            dispatch(event)
            if stop.is_set():
                break

    @property
    def left_behind(self) -> frozenset[str]:
        """Nobody can be."""
        return frozenset()

    def silences(self) -> Mapping[str, Callable[[], float]]:
        """No worker but the caller."""
        return {}

    def queue_depths(self) -> Mapping[str, Callable[[], float]]:
        """None is of interest: times are not those of this machine."""
        return {}

    def _events(self) -> Iterator[Event]:
        check = FrameCheck()
        self._clock.begin(self._measure())
        for item in self._stream:
            if refused := check.turn_away(item, at_s=self._clock()):
                yield captured(item, self._clock())
                yield from refused
                continue
            now_s = item.captured_at_s
            yield from self._let_wait(until_s=now_s)
            frame = replace(item, captured_at_s=self._clock.at(now_s))
            yield captured(frame, frame.captured_at_s)
            yield from self._take(frame, now_s)
        yield from self._let_wait(until_s=math.inf)
        yield from self._learning.spend(self._free_at_s, math.inf)  # what is owed: no answer depends on it any more

    def _take(self, frame: Frame, now_s: float) -> Iterator[Event]:
        """Answer a frame just captured, or let it wait in the place of an older one."""
        if self._free_at_s <= now_s + TIE_S:
            yield from self._learning.spend(self._free_at_s, now_s)
            yield from self._answer(frame, now_s)
            return
        if self._waiting is not None:
            yield FrameDropped(self._waiting.index, "stale", self._clock.at(now_s))
        self._waiting = frame

    def _let_wait(self, *, until_s: float) -> Iterator[Event]:
        """The frame that waits is answered, if its turn comes by then."""
        frame = self._waiting
        if frame is not None and self._free_at_s <= until_s:
            self._waiting = None
            yield from self._answer(frame, self._free_at_s)

    def _answer(self, frame: Frame, start_s: float) -> Iterator[Event]:
        started_at_s = self._clock.at(start_s)
        if self._freshness.is_stale(frame, started_at_s):
            yield FrameDropped(frame.index, "stale", started_at_s)
            return
        begun_s = self._measure()
        prediction = self._predictor.predict(frame)
        self._free_at_s = start_s + self._latency.answer_s(self._measure() - begun_s)
        prediction = replace(prediction, started_at_s=started_at_s, finished_at_s=self._clock.at(self._free_at_s))
        is_late = self._freshness.is_late(prediction)
        yield FrameDropped(frame.index, "late", prediction.finished_at_s) if is_late else prediction
        if not self._shares_device:
            yield from self._learning.spend(start_s, self._free_at_s)
        if not is_late:
            self._learning.offer(prediction)
