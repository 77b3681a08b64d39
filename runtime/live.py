"""The live driver: capture, inference and learning at the same time, each in a thread of its own.

    capture --LatestSlot--> inference --Inbox--> learner        every event --> queue --> the caller's thread

Inference never waits for learning: it takes the newest frame, swaps to the newest version and answers. The learner
takes what was predicted meanwhile, watches all of it and learns from the newest. No failure of learning ends a run; an
exception in capture or inference does. By the rule `inline` the inference thread learns as well, between two frames.

No thread can be made to return. One that does not come back (a hung step, a camera that gives nothing) is left behind
when the run ends: it is a daemon, what it still says is not heard, and it can publish nothing.
"""

import math
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.segments import Segments
from runtime.event_queue import EventQueue
from runtime.events import Fault, FrameDropped, Prediction
from runtime.inbox import Inbox
from runtime.intake import FrameCheck, Freshness, captured
from runtime.observer import Event
from runtime.predictor import Predictor
from runtime.rules import LiveRules
from runtime.slot import LatestSlot
from runtime.supervision import Heartbeat, RestartingCycle, Supervisor
from streams.frame import Frame
from streams.stream import Stream

POLL_S = 0.1  # how often stop and heartbeats are looked at while nothing happens
ROOM_FOR_ANSWERS = 256  # events waiting to be dispatched, from which inference waits: some forty answers with pictures
MAX_WAITING_EVENTS = 512  # from which capture waits too: some 130 frames later, whose labels weigh 17 MB at 256x512
DRAIN_S = 2.0  # for the workers to finish, once the end was asked for or one of them failed


@dataclass(frozen=True, slots=True, eq=False)
class _Ended:
    """The last thing a worker says."""

    worker: str
    failure: BaseException | None


class Live:
    """Drives a paced stream by the rules it is given."""

    def __init__(
        self,
        stream: Stream,
        predictor: Predictor,
        cycle: AdaptationCycle,
        *,
        clock: Callable[[], float],
        rules: LiveRules,
    ) -> None:
        self._stream = stream
        self._predictor = predictor
        self._cycle = cycle
        self._learning = RestartingCycle(cycle, clock=clock)
        self._clock = clock
        self._rules = rules
        self._slot: LatestSlot[Frame] = LatestSlot()
        self._inbox = Inbox()
        self._events: EventQueue[Event | _Ended] = EventQueue()
        self._roles: dict[str, Callable[[], None]] = {"capture": self._capture}
        if rules.adapt == "inline":
            self._roles["inference"] = self._infer_and_learn
        else:
            self._roles |= {"inference": self._infer, "learner": self._learn}
        working = clock if rules.slack is None else rules.slack.working_s  # held back is not hung
        self._heartbeats = {name: Heartbeat(working if name == "learner" else clock) for name in self._roles}
        self._supervisor = Supervisor(self._heartbeats, period_s=1.0 / stream.fps, clock=clock)
        self._ended: set[str] = set()
        self._failure: BaseException | None = None
        self._is_learning_given_up = False

    def run(self, dispatch: Callable[[Event], None], stop: threading.Event) -> None:
        """Events reach `dispatch` in the caller's thread; returns when the stream ended or `stop` was set.

        Raises what capture, inference or `dispatch` raised. Ends at most DRAIN_S after `stop` or a failure; a worker
        still busy then is named in a Fault and left behind.
        """
        workers = {
            name: threading.Thread(target=self._work, args=(name,), name=name, daemon=True) for name in self._roles
        }
        for worker in workers.values():
            worker.start()
        patience_s = DRAIN_S
        try:
            self._dispatch_all(dispatch, stop)
            patience_s = 0.0  # whoever has not ended by now was waited for
        finally:
            self._wind_up()
            self._events.close()
            leave_at_s = self._clock() + patience_s
            for name, worker in workers.items():
                worker.join(None if name in self._ended else max(0.0, leave_at_s - self._clock()))
            if workers["inference" if self._rules.adapt == "inline" else "learner"].is_alive():
                self._give_up_learning()
        if self._failure is not None:
            raise self._failure

    def queue_depths(self) -> Mapping[str, Callable[[], float]]:
        """Items waiting in each hand-over, readable from any thread."""
        return {"frames": lambda: self._slot.depth, "predictions": self._inbox.depth, "events": self._events.depth}

    @property
    def left_behind(self) -> frozenset[str]:
        """Workers that had not ended as `run` returned: what they own may still change, and must not be read."""
        return frozenset(self._roles) - self._ended

    def silences(self) -> Mapping[str, Callable[[], float]]:
        """Seconds since each worker gave a sign of life, 0 while it waits for others; readable from any thread."""
        return {name: heartbeat.silence_s for name, heartbeat in self._heartbeats.items()}

    def _dispatch_all(self, dispatch: Callable[[Event], None], stop: threading.Event) -> None:
        """Until every worker has ended or may no longer be waited for."""
        leave_at_s = math.inf
        while self._awaited() and self._clock() <= leave_at_s:
            if leave_at_s == math.inf and (stop.is_set() or self._failure is not None):
                leave_at_s = self._clock() + DRAIN_S
                self._wind_up()
            self._supervise(dispatch)
            try:
                event = self._events.get(timeout_s=POLL_S)
            except queue.Empty:
                continue
            self._handle(event, dispatch)
        for _ in range(self._events.depth()):
            self._handle(self._events.get(timeout_s=0.0), dispatch)
        for name in sorted(self._awaited()):
            dispatch(Fault(name, f"still at work {DRAIN_S:.0f} s after the end was asked for", self._clock()))

    def _awaited(self) -> set[str]:
        """Workers the end of the run waits for."""
        hung = {"learner"} if self._supervisor.is_learner_hung else set()
        return self._roles.keys() - self._ended - hung

    def _handle(self, event: Event | _Ended, dispatch: Callable[[Event], None]) -> None:
        if not isinstance(event, _Ended):
            if isinstance(event, Prediction):
                self._supervisor.note(event)
            dispatch(event)
        elif event.worker in self._awaited():
            self._ended.add(event.worker)
            self._failure = self._failure or event.failure

    def _supervise(self, dispatch: Callable[[Event], None]) -> None:
        changes = list(self._supervisor.poll())
        if self._supervisor.is_learner_hung and not self._is_learning_given_up:
            self._give_up_learning()
        for change in changes:
            dispatch(change)

    def _wind_up(self) -> None:
        """No more frames, and nothing more to learn from; what waits for its answer still gets it."""
        self._stream.close()
        self._slot.close()
        self._inbox.clear()

    def _give_up_learning(self) -> None:
        self._is_learning_given_up = True
        self._cycle.give_up()

    def _work(self, name: str) -> None:
        failure = None
        try:
            self._roles[name]()
        except BaseException as error:  # handed to the caller's thread, which raises it
            failure = error
            self._stream.close()
        finally:
            self._heartbeats[name].rest()
            self._events.put(_Ended(name, failure))

    def _capture(self) -> None:
        heartbeat, check = self._heartbeats["capture"], FrameCheck()
        heartbeat.beat()
        try:
            for item in self._stream:
                heartbeat.rest()  # a lossless hand-over waits for inference
                self._events.put_below(captured(item, self._clock()), depth=MAX_WAITING_EVENTS)
                refused = check.turn_away(item, at_s=self._clock())
                for event in refused:
                    self._events.put(event)
                if not refused:
                    self._hand_over(item)
                heartbeat.beat()
        finally:
            self._slot.close()

    def _hand_over(self, frame: Frame) -> None:
        lost = self._slot.put_when_empty(frame) if self._rules.is_lossless else self._slot.put(frame)
        if lost is not None:
            self._drop(lost, "shutdown" if lost is frame else "stale")

    def _drop(self, frame: Frame, reason: str) -> None:
        self._events.put(FrameDropped(index=frame.index, reason=reason, at_s=self._clock()))

    def _infer(self) -> None:
        torch.set_num_threads(self._rules.threads.inference)
        for prediction in self._predictions():
            self._inbox.put(prediction)

    def _infer_and_learn(self) -> None:
        """OpenMP is told its number of threads before each turn; that costs microseconds."""
        budget = self._rules.threads
        torch.set_num_threads(budget.inference)
        for prediction in self._predictions():
            torch.set_num_threads(budget.learning)
            with self._rules.lane.entered():
                self._consider([prediction], self._heartbeats["inference"])
            torch.set_num_threads(budget.inference)

    def _predictions(self) -> Iterator[Prediction]:
        """Answers, in order, until the stream is over."""
        heartbeat, slack = self._heartbeats["inference"], self._rules.slack
        freshness = Freshness(self._rules.max_age_s, period_s=1.0 / self._stream.fps)
        try:
            while (frame := self._slot.take()) is not None:
                if freshness.is_stale(frame, self._clock()):
                    self._drop(frame, "stale")
                    continue
                heartbeat.beat()
                with nullcontext() if slack is None else slack.busy():
                    prediction = self._predictor.predict(frame)
                heartbeat.rest()
                if freshness.is_late(prediction):
                    self._drop(frame, "late")
                    continue
                self._events.put_below(prediction, depth=ROOM_FOR_ANSWERS)
                yield prediction
        finally:
            self._slot.close()
            self._inbox.close()
            if slack is not None:
                slack.close()

    def _learn(self) -> None:
        torch.set_num_threads(self._rules.threads.learning)
        heartbeat, slack = self._heartbeats["learner"], self._rules.slack

        def boundary() -> None:
            heartbeat.stir()
            if slack is not None:
                slack.wait()

        with self._rules.lane.entered(), Segments(boundary):
            while (predictions := self._inbox.take_all()) and not self._is_learning_given_up:
                self._consider(predictions, heartbeat)

    def _consider(self, predictions: Sequence[Prediction], heartbeat: Heartbeat) -> None:
        heartbeat.beat()
        for event in self._learning.consider(predictions):
            if self._is_learning_given_up:
                return
            self._events.put(event)
            heartbeat.beat()
        heartbeat.rest()
