"""The live driver: capture, inference and learning at the same time, each in a thread of its own.

    capture --LatestSlot--> inference --Inbox--> learner        every event --> queue --> the caller's thread

Inference never waits for learning: it takes the newest frame, swaps to the newest version and answers. The learner
takes what was predicted meanwhile, watches all of it and learns from the newest. An exception in learning ends
learning, is reported, and prediction goes on; an exception in inference ends the run. By the rule `inline` the
inference thread learns as well, between two frames.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext

import torch

from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.segments import Segments
from runtime.event_queue import EventQueue
from runtime.events import Event, Fault, FrameCaptured, FrameDropped, Prediction
from runtime.predictor import Predictor
from runtime.rules import LiveRules
from runtime.slot import LatestSlot
from streams.frame import Frame
from streams.stream import Stream

STOP_POLL_S = 0.1  # how often a wish to stop is looked for while nothing happens
ROOM_FOR_ANSWERS = 256  # events waiting to be dispatched, from which inference waits: some forty answers with pictures
MAX_WAITING_EVENTS = 4096  # from which capture waits as well
INBOX_CAPACITY = 16  # predictions the learner may lag behind; older ones go unwatched


class Inbox:
    """Predictions waiting for the learner: bounded, oldest out, taken all at once."""

    def __init__(self, *, capacity: int = INBOX_CAPACITY) -> None:
        self._changed = threading.Condition()
        self._items: deque[Prediction] = deque(maxlen=capacity)
        self._is_closed = False

    def put(self, prediction: Prediction) -> None:
        with self._changed:
            self._items.append(prediction)
            self._changed.notify()

    def take_all(self) -> list[Prediction]:
        """Everything waiting, at least one; empty only when closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._is_closed)
            items = list(self._items)
            self._items.clear()
            return items

    def depth(self) -> int:
        return len(self._items)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()


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
        self._clock = clock
        self._rules = rules
        self._slot: LatestSlot[Frame] = LatestSlot()
        self._inbox = Inbox()
        self._events: EventQueue[Event | None] = EventQueue()
        self._failure: BaseException | None = None

    def run(self, dispatch: Callable[[Event], None], stop: threading.Event) -> None:
        """Events reach `dispatch` in the caller's thread; returns when the stream ended or `stop` was set.

        Raises what capture, inference or `dispatch` raised, after every thread has ended.
        """
        roles = {"capture": self._capture, "inference": self._infer, "learner": self._learn}
        if self._rules.adapt == "inline":
            roles["inference"] = self._infer_and_learn
            del roles["learner"]
        workers = [threading.Thread(target=self._work, args=(role,), name=name) for name, role in roles.items()]
        for worker in workers:
            worker.start()
        try:
            self._dispatch_all(dispatch, stop, num_running=len(workers))
        finally:
            self._stream.close()
            self._events.close()
            for worker in workers:
                worker.join()
        if self._failure is not None:
            raise self._failure

    def _dispatch_all(self, dispatch: Callable[[Event], None], stop: threading.Event, *, num_running: int) -> None:
        while num_running:
            if stop.is_set():
                self._stream.close()
            try:
                event = self._events.get(timeout_s=STOP_POLL_S)
            except queue.Empty:
                continue
            if event is None:
                num_running -= 1
            else:
                dispatch(event)

    def queue_depths(self) -> Mapping[str, Callable[[], float]]:
        """Items waiting in each hand-over, readable from any thread."""
        return {"frames": lambda: self._slot.depth, "predictions": self._inbox.depth, "events": self._events.depth}

    def _work(self, role: Callable[[], None]) -> None:
        try:
            role()
        except BaseException as failure:  # handed to the caller's thread, which raises it
            self._failure = failure
            self._stream.close()
        finally:
            self._events.put(None)

    def _capture(self) -> None:
        try:
            for frame in self._stream:
                self._events.put_below(FrameCaptured(frame.index, self._clock()), depth=MAX_WAITING_EVENTS)
                lost = self._slot.put_when_empty(frame) if self._rules.is_lossless else self._slot.put(frame)
                if lost is not None:
                    reason = "shutdown" if lost is frame else "stale"
                    self._events.put(FrameDropped(index=lost.index, reason=reason, at_s=self._clock()))
        finally:
            self._slot.close()

    def _infer(self) -> None:
        torch.set_num_threads(self._rules.threads.inference)
        for prediction in self._predictions():
            self._inbox.put(prediction)

    def _infer_and_learn(self) -> None:
        """OpenMP is told its number of threads before each turn; that costs microseconds."""
        budget, is_learning = self._rules.threads, True
        torch.set_num_threads(budget.inference)
        for prediction in self._predictions():
            if is_learning:
                torch.set_num_threads(budget.learning)
                is_learning = self._consider([prediction])
                torch.set_num_threads(budget.inference)

    def _predictions(self) -> Iterator[Prediction]:
        """Answers, in order, until the stream is over."""
        slack = self._rules.slack
        try:
            while (frame := self._slot.take()) is not None:
                with nullcontext() if slack is None else slack.busy():
                    prediction = self._predictor.predict(frame)
                self._events.put_below(prediction, depth=ROOM_FOR_ANSWERS)
                yield prediction
        finally:
            self._slot.close()
            self._inbox.close()
            if slack is not None:
                slack.close()

    def _learn(self) -> None:
        torch.set_num_threads(self._rules.threads.learning)
        slack = self._rules.slack
        with self._rules.lane.entered(), nullcontext() if slack is None else Segments(slack.wait):
            while (predictions := self._inbox.take_all()) and self._consider(predictions):
                pass

    def _consider(self, predictions: Sequence[Prediction]) -> bool:
        """Watch and learn; False once learning has failed. Prediction outlives any failure of learning."""
        try:
            for event in self._cycle.consider(predictions):
                self._events.put(event)
        except Exception as error:
            self._events.put(Fault(component="learner", detail=f"{type(error).__name__}: {error}", at_s=self._clock()))
            return False
        return True
