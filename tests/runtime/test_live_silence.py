"""Workers that hang: told within bounds, nobody waits for them, and a stop still ends the run."""

import math
import threading

import pytest
import torch

from runtime import events
from runtime.live import POLL_S
from runtime.slack import SlackGate
from tests.fakes import ManualClock
from tests.runtime.drives import (
    ListedStream,
    Predicting,
    Watching,
    changes,
    drive,
    faults,
    in_flight,
    indices,
    live_of,
    wait_for_end,
    when_ended,
)


def test_a_hung_learner_costs_no_prediction_and_does_not_hold_up_the_end() -> None:
    clock = ManualClock()
    is_hung, wakes, woke = threading.Event(), threading.Event(), []

    def hang(index: int) -> None:
        if not is_hung.is_set():
            is_hung.set()
            wakes.wait(60)
            woke.append(index)

    cycle = Watching(hang)
    predictor = Predicting(lambda index: index == 20 and is_hung.wait(30) and clock.advance(10.0))
    seen = drive(
        ListedStream(40), predictor=predictor, cycle=cycle, clock=clock, release=wakes.set, left_behind=["learner"]
    )
    assert indices(seen, events.Prediction) == list(range(40)) and in_flight(seen) == 0
    (fault,) = (detail for component, detail in faults(seen) if component == "learner")
    assert fault.startswith("no sign of life for 10.0 s")
    assert [state for component, state in changes(seen) if component == "learner"] == ["hung"]
    assert cycle.is_given_up.is_set() and len(woke) == 1, "it woke in the end, and"
    assert not any(isinstance(event, events.ShiftScore) for event in seen), "nothing it said was heard"


@pytest.mark.parametrize("adapt", ["gaps", "thread"])
def test_a_learner_that_turns_in_circles_is_hung_though_it_comes_to_boundaries(adapt) -> None:
    clock = ManualClock()
    ends = threading.Event()

    def turn(_: int) -> None:
        while not ends.is_set():
            torch.ones(1)
            clock.advance(0.25)
            ends.wait(0.001)

    cycle = Watching(turn)
    seen = drive(
        ListedStream(10),
        cycle=cycle,
        clock=clock,
        adapt=adapt,
        slack=SlackGate(clock=clock) if adapt == "gaps" else None,
        release=ends.set,
        left_behind=["learner"],
    )
    assert indices(seen, events.Prediction) == list(range(10)) and cycle.is_given_up.is_set()
    ((_, fault),) = faults(seen)
    assert fault.startswith("no end of a step in ")
    assert [state for component, state in changes(seen) if component == "learner"] == ["hung"]


def test_a_learner_that_is_held_back_is_not_hung() -> None:
    clock = ManualClock()
    gate = SlackGate(clock=clock, patience_s=math.inf)
    for_polls = threading.Event()

    def hold(index: int) -> None:
        """The second answer takes a quarter of a minute, seen by the supervisor, while learning waits for it."""
        while index == 1 and not gate.num_waiting:
            pass
        if index == 1:
            clock.advance(15.0)
            for_polls.wait(4 * POLL_S)

    def work(index: int) -> None:
        while index == 0 and gate.working_s() == clock():  # until it was held
            torch.ones(1)

    parts = {"predictor": Predicting(hold), "cycle": Watching(work), "slack": gate}
    seen = drive(ListedStream(2), clock=clock, adapt="gaps", **parts)
    assert changes(seen) == [] and indices(seen, events.Prediction) == [0, 1]
    assert gate.working_s() == clock() - 15.0


def test_a_long_step_does_not_hold_up_a_stop() -> None:
    clock = ManualClock()
    stop, is_busy, ends = threading.Event(), threading.Event(), threading.Event()
    cycle = Watching(lambda _: (is_busy.set(), ends.wait(60)))
    stream = ListedStream(None, before=lambda index: index == 5 and is_busy.wait(30) and stop.set())
    stream.on_first_close = when_ended({"capture", "inference"}, lambda: clock.advance(2.5))
    seen = drive(stream, cycle=cycle, stop=stop, clock=clock, release=ends.set, left_behind=["learner"])
    assert faults(seen) == [("learner", "still at work 2 s after the end was asked for")]
    assert cycle.is_given_up.is_set()


def test_a_stream_that_gives_nothing_is_stale_until_it_does() -> None:
    clock = ManualClock()
    is_stale = threading.Event()
    stream = ListedStream(10, before=lambda index: index == 5 and clock.advance(4.0) and is_stale.wait(30))
    seen = drive(
        stream,
        clock=clock,
        dispatch=lambda event: isinstance(event, events.WorkerChanged) and event.state == "stale" and is_stale.set(),
    )
    assert faults(seen) == [("capture", "no frame for 4.0 s; waiting for the stream")]
    assert changes(seen) == [("capture", "stale"), ("capture", "ok")]
    assert indices(seen, events.Prediction) == list(range(10))


def test_a_camera_that_never_answers_does_not_hold_up_a_stop() -> None:
    clock = ManualClock()
    stop, answers = threading.Event(), threading.Event()
    stream = ListedStream(None, before=lambda index: index == 5 and (stop.set(), answers.wait(60)))
    stream.on_first_close = when_ended({"inference", "learner"}, lambda: clock.advance(2.5))
    cycle = Watching()
    seen = drive(stream, cycle=cycle, stop=stop, clock=clock, release=answers.set, left_behind=["capture"])
    assert faults(seen) == [("capture", "still at work 2 s after the end was asked for")]
    assert not cycle.is_given_up.is_set(), "what was learnt is sound, and is saved"


def test_a_hung_inference_is_told_and_a_stop_still_ends_the_run() -> None:
    clock = ManualClock()
    stop, ends = threading.Event(), threading.Event()
    stream = ListedStream(4)
    stream.on_first_close = lambda: clock.advance(2.5)

    def hang(index: int) -> None:
        if index == 3:
            wait_for_end({"capture"})
            clock.advance(31.0)
            ends.wait(60)

    seen = drive(
        stream,
        predictor=Predicting(hang),
        adapt="inline",
        stop=stop,
        clock=clock,
        dispatch=lambda event: isinstance(event, events.WorkerChanged) and stop.set(),
        release=ends.set,
        left_behind=["inference"],
    )
    assert changes(seen) == [("inference", "hung")]
    assert faults(seen) == [
        ("inference", "no answer for 31.0 s; the liveness probe tells whoever can restart the process"),
        ("inference", "still at work 2 s after the end was asked for"),
    ]
    assert indices(seen, events.Prediction) == [0, 1, 2]


def test_signs_of_life_can_be_read_of_every_worker() -> None:
    clock = ManualClock()
    assert live_of(ListedStream(1), adapt="inline").silences().keys() == {"capture", "inference"}
    live = live_of(ListedStream(1), clock=clock, predictor=Predicting(lambda _: clock.advance(2.0)))
    silences = live.silences()
    assert silences.keys() == {"capture", "inference", "learner"}
    heard: list[float] = []
    live.run(lambda _: heard.append(silences["inference"]()), threading.Event())
    assert all(silence_s in (0.0, 2.0) for silence_s in heard) and [read() for read in silences.values()] == [0.0] * 3
