"""The slack gate: learning computes while inference waits, inference never waits, and nobody waits for ever."""

import itertools
import math
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from runtime.lanes import Done
from runtime.slack import OneAhead, SlackGate
from tests.fakes import ManualClock

FAR_TOO_LONG_S = 60.0  # says that a thread hangs; nothing here takes a hundredth of it


def started(role: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=role, daemon=True)
    thread.start()
    return thread


def finished(*threads: threading.Thread) -> bool:
    for thread in threads:
        thread.join(FAR_TOO_LONG_S)
    return not any(thread.is_alive() for thread in threads)


def until_somebody_waits(gate: SlackGate) -> None:
    for _ in range(100_000_000):
        if gate.num_waiting:
            return
    raise AssertionError("nobody came to wait")


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after a microsecond, so that every interleaving comes up."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_nobody_waits_while_inference_idles() -> None:
    gate = SlackGate(patience_s=math.inf)
    assert finished(started(gate.wait))
    with gate.busy():
        pass
    assert finished(started(gate.wait)) and gate.num_waiting == 0


def test_learning_goes_on_when_the_prediction_is_made() -> None:
    gate, log = SlackGate(patience_s=math.inf), []

    def learn() -> None:
        gate.wait()
        log.append("learned")

    with gate.busy():
        learner = started(learn)
        until_somebody_waits(gate)
        log.append("predicted")
    assert finished(learner) and log == ["predicted", "learned"]


def test_a_failed_prediction_leaves_the_gate_open() -> None:
    gate = SlackGate(patience_s=math.inf)
    with pytest.raises(RuntimeError), gate.busy():
        raise RuntimeError("out of memory")
    assert finished(started(gate.wait))


@pytest.mark.usefixtures("hasty_threads")
def test_no_segment_begins_inside_the_prediction_it_met_and_no_wake_up_is_lost() -> None:
    gate, num_rounds = SlackGate(patience_s=math.inf), 3000
    begun = ended = 0
    early: list[int] = []
    is_over = threading.Event()

    def infer() -> None:
        nonlocal begun, ended
        for _ in range(num_rounds):
            with gate.busy():
                begun += 1
                ended += 1
        is_over.set()

    def learn() -> None:
        while not is_over.is_set():
            met = begun  # predictions before this one are over; this one may be in progress
            gate.wait()
            if ended < met:
                early.append(met)

    assert finished(*[started(role) for role in (learn, infer, learn)])
    assert not early and gate.num_waiting == 0


def test_patience_has_an_end_and_a_grace_follows() -> None:
    gate = SlackGate(patience_s=0.01, grace_s=1.0, clock=ManualClock())

    def learn() -> None:
        for _ in range(100_000):  # a hundredth of a second each, were there no grace
            gate.wait()

    with gate.busy():
        assert finished(started(learn))


def test_after_the_grace_learning_waits_again() -> None:
    clock, log = ManualClock(), []
    gate = SlackGate(patience_s=0.01, grace_s=1.0, clock=clock, finish_segment=lambda: log.append("boundary"))

    def learn() -> None:
        gate.wait()
        log.append("patience over")
        gate.wait()
        log.append("grace")
        clock.advance(2.0)
        hears_of_waiting.set()
        gate.wait()
        log.append("patience over again")

    hears_of_waiting = threading.Event()
    with gate.busy():
        learner = started(learn)
        assert hears_of_waiting.wait(FAR_TOO_LONG_S)
        until_somebody_waits(gate)
        assert finished(learner)
    assert log[1::2] == ["patience over", "grace", "patience over again"]


def test_the_clock_of_work_stands_still_while_learning_is_held_and_no_longer() -> None:
    clock = ManualClock(100.0)
    gate, readings = SlackGate(patience_s=math.inf, clock=clock), []

    def learn() -> None:
        clock.advance(1.0)
        gate.wait()
        readings.append(gate.working_s())
        clock.advance(2.0)
        gate.wait()
        readings.append(gate.working_s())

    with gate.busy():
        learner = started(learn)
        until_somebody_waits(gate)
        clock.advance(50.0)
    assert finished(learner) and readings == [101.0, 103.0]


def test_who_predicts_may_learn_in_between() -> None:
    gate = SlackGate(patience_s=math.inf)

    def predict_and_learn() -> None:
        with gate.busy():
            gate.wait()

    assert finished(started(predict_and_learn))


def test_closing_releases_for_good() -> None:
    gate = SlackGate(patience_s=math.inf)
    with gate.busy():
        learner = started(gate.wait)
        until_somebody_waits(gate)
        gate.close()
        assert finished(learner) and finished(started(gate.wait))


def test_every_boundary_finishes_the_segment_before_it() -> None:
    finishes: list[int] = []
    gate = SlackGate(patience_s=0.0, finish_segment=lambda: finishes.append(gate.num_waiting))
    gate.wait()
    with gate.busy():
        assert finished(started(gate.wait))
    gate.close()
    gate.wait()
    assert finishes == [0, 0, 0]


class Marked:
    """A place in a queue, noted when it is made and when it is waited for."""

    def __init__(self, number: int, log: list[str]) -> None:
        self._number, self._log = number, log
        log.append(f"mark {number}")

    def is_done(self) -> bool:
        return False

    def wait(self) -> None:
        self._log.append(f"wait {self._number}")


@pytest.mark.parametrize(("stride", "boundaries"), [(1, 3), (4, 15)])
def test_a_device_is_never_more_than_one_segment_behind(stride, boundaries) -> None:
    log: list[str] = []
    numbers = itertools.count()
    gate = SlackGate(finish_segment=OneAhead(lambda: Marked(next(numbers), log), stride=stride))
    for _ in range(boundaries):
        gate.wait()
    assert log == ["mark 0", "wait 0", "mark 1", "wait 1", "mark 2"]


def test_a_segment_has_a_length() -> None:
    with pytest.raises(ValueError, match="at least 1 boundary"):
        OneAhead(Done, stride=0)


@pytest.mark.parametrize("wrong", [{"patience_s": -1.0}, {"grace_s": -0.1}])
def test_times_are_not_negative(wrong) -> None:
    with pytest.raises(ValueError, match="0 s or more"):
        SlackGate(**wrong)
