"""Who is at work, who is silent for too long, and what happens to learning that fails.

    heartbeat.beat() ... heartbeat.rest()            # each worker: at work, a piece of it done; waiting for others
    heartbeat.stir()                                 # in the midst of a piece, before every operation of learning
    for event in supervisor.poll(): dispatch(event)  # the caller's thread, many times a second

A worker that waits for another owes no sign of life, so silence always means that something does not come back. How
long is too long follows from facts: the stream's period and what a prediction takes lately. It reads an injected clock
and stops nothing itself; the driver acts on what it says.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from runtime.adaptation.cycle import AdaptationCycle
from runtime.events import Fault, Prediction, WorkerChanged
from runtime.observer import Event

CAPTURE_LIMIT_S = 3.0
CAPTURE_LIMIT_PERIODS = 10
FIRST_FRAME_LIMIT_S = 30.0  # a stream may have to load or connect
INFERENCE_LIMIT_S = 30.0
LEARNER_LIMIT_S = 8.0
LIMIT_STIRS = 3  # inferences; one operation is part of a forward or backward pass, and both threads share the cores
RECENT_INFERENCES = 100  # of which the middle one counts: a hiccup tells nothing of how long a step takes
LIMIT_INFERENCES = 30  # a step of the dearest method costs twenty forward passes, and both threads share the cores

MAX_RESTARTS = 3
RESTART_WINDOW_S = 300.0


class Heartbeat:
    """One worker's signs of life: written by the worker, read by any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._beat_at_s: float | None = None
        self._stirred_at_s = 0.0
        self.num_beats = 0

    def beat(self) -> None:
        """At work, and a piece of it is done."""
        now_s = self._clock()
        self._stirred_at_s = now_s  # first: who reads between the two must not meet the stirring of long ago
        self._beat_at_s = now_s
        self.num_beats += 1

    def stir(self) -> None:
        """At work on the same piece, and alive."""
        self._stirred_at_s = self._clock()

    def rest(self) -> None:
        """Waiting for others, or done."""
        self._beat_at_s = None

    def silence_s(self) -> float:
        """Seconds since the last sign of life; 0 at rest."""
        return 0.0 if self._beat_at_s is None else self._clock() - self._stirred_at_s

    def labour_s(self) -> float:
        """Seconds since a piece of work was done; 0 at rest."""
        beat_at_s = self._beat_at_s
        return 0.0 if beat_at_s is None else self._clock() - beat_at_s


class Supervisor:
    """Owned by the caller's thread. Declares each silence once, and its end; a hung learner is given up for good."""

    def __init__(self, heartbeats: Mapping[str, Heartbeat], *, period_s: float, clock: Callable[[], float]) -> None:
        self._heartbeats = heartbeats
        self._period_s = period_s
        self._clock = clock
        self._inferences_s: deque[float] = deque(maxlen=RECENT_INFERENCES)
        self._usual_inference_s = 0.0
        self._silent: set[str] = set()

    @property
    def is_learner_hung(self) -> bool:
        return "learner" in self._silent

    def note(self, prediction: Prediction) -> None:
        """Learn how long this model takes on this machine."""
        self._inferences_s.append(prediction.inference_s)
        self._usual_inference_s = median(self._inferences_s)

    def poll(self) -> Iterator[Event]:
        """What changed since the last call."""
        for component in self._heartbeats:
            trouble = self._trouble(component)
            if component not in self._silent and trouble:
                self._silent.add(component)
                yield Fault(component, trouble, self._clock())
                yield WorkerChanged(component, "stale" if component == "capture" else "hung", self._clock())
            elif component in self._silent - {"learner"} and not trouble:
                self._silent.remove(component)
                yield WorkerChanged(component, "ok", self._clock())

    def _trouble(self, component: str) -> str:
        """What is wrong with it, empty where nothing is. Learning that stirs may still turn in circles."""
        silence_s, usual_s = self._heartbeats[component].silence_s(), self._usual_inference_s
        if component == "capture":
            is_first = self._heartbeats[component].num_beats <= 1
            floor_s = FIRST_FRAME_LIMIT_S if is_first else CAPTURE_LIMIT_S
            is_silent = silence_s > max(floor_s, CAPTURE_LIMIT_PERIODS * self._period_s)
            return f"no frame for {silence_s:.1f} s; waiting for the stream" if is_silent else ""
        if component == "inference":
            advice = "the liveness probe tells whoever can restart the process"
            is_silent = silence_s > max(INFERENCE_LIMIT_S, LIMIT_INFERENCES * usual_s)
            return f"no answer for {silence_s:.1f} s; {advice}" if is_silent else ""
        labour_s = self._heartbeats[component].labour_s()
        if silence_s > max(LEARNER_LIMIT_S, LIMIT_STIRS * usual_s):
            return f"no sign of life for {silence_s:.1f} s; nothing is learned for the rest of the run"
        if labour_s > max(LEARNER_LIMIT_S, LIMIT_INFERENCES * usual_s):
            return f"no end of a step in {labour_s:.1f} s; nothing is learned for the rest of the run"
        return ""


class RestartingCycle:
    """The adaptation cycle, taken up again from the newest version when it raises; too often, and it stays off. Nobody
    would then see that what it learnt is of no use any more, so the source weights serve from there on.

    Owned by the thread that calls `consider`. No failure of learning gets past it.
    """

    def __init__(self, cycle: AdaptationCycle, *, clock: Callable[[], float]) -> None:
        self._cycle = cycle
        self._clock = clock
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)
        self._is_off = False

    def consider(self, predictions: Sequence[Prediction]) -> Iterator[Event]:
        """As the cycle's; a failure becomes a Fault and, where the rules allow, a restart."""
        if self._is_off:
            return
        try:
            yield from self._cycle.consider(predictions)
        except Exception as error:
            yield from self._restart(error, predictions[-1].frame.index)

    def _restart(self, error: Exception, frame_index: int) -> Iterator[Event]:
        failure: Exception | None = error
        while failure is not None:
            now_s = self._clock()
            yield Fault("learner", f"{type(failure).__name__}: {failure}", now_s)
            if len(self._restarts) == MAX_RESTARTS and now_s - self._restarts[0] <= RESTART_WINDOW_S:
                self._is_off = True
                self._cycle.give_up()
                detail = f"restarted {MAX_RESTARTS} times in {RESTART_WINDOW_S / 60:.0f} minutes; learning stays off"
                yield Fault("learner", detail, now_s)
                yield WorkerChanged("learner", "off", now_s)
                return
            self._restarts.append(now_s)
            try:
                yield from self._cycle.recover(frame_index)
                failure = None
            except Exception as another:
                failure = another
        yield WorkerChanged("learner", "restarted", self._clock())
