"""Silence is told once, by limits that follow from facts; learning that fails is taken up again, but not for ever."""

import pytest

from runtime.events import Fault, Rollback, ShiftScore, WorkerChanged
from runtime.supervision import Heartbeat, RestartingCycle, Supervisor
from tests.fakes import ManualClock, make_frame, make_prediction


class World:
    """Three workers that never stir by themselves."""

    def __init__(self, *, period_s: float = 0.1) -> None:
        self.clock = ManualClock()
        self.beats = {name: Heartbeat(self.clock) for name in ("capture", "inference", "learner")}
        self.supervisor = Supervisor(self.beats, period_s=period_s, clock=self.clock)

    def beat(self, worker: str, times: int = 2) -> None:
        for _ in range(times):
            self.beats[worker].beat()

    def states_after(self, seconds: float) -> list[tuple[str, str]]:
        self.clock.advance(seconds)
        return [(e.component, e.state) for e in self.supervisor.poll() if isinstance(e, WorkerChanged)]


def test_silence_counts_at_work_only() -> None:
    clock = ManualClock()
    heartbeat = Heartbeat(clock)
    clock.advance(5)
    assert heartbeat.silence_s() == 0
    heartbeat.beat()
    clock.advance(2)
    assert heartbeat.silence_s() == 2
    heartbeat.rest()
    assert heartbeat.silence_s() == 0


@pytest.mark.parametrize(
    ("worker", "limit_s", "state"), [("capture", 3.0, "stale"), ("inference", 30.0, "hung"), ("learner", 8.0, "hung")]
)
def test_a_silent_worker_is_declared_once(worker, limit_s, state) -> None:
    world = World()
    world.beat(worker)
    assert world.states_after(limit_s) == []
    assert world.states_after(0.125) == [(worker, state)]
    assert world.states_after(1000) == []


def test_the_fault_comes_first_and_says_for_how_long() -> None:
    world = World()
    world.beat("learner")
    world.clock.advance(9.0)
    fault, change = world.supervisor.poll()
    assert fault == Fault(
        "learner", "no sign of life for 9.0 s; nothing is learned for the rest of the run", world.clock()
    )
    assert change == WorkerChanged("learner", "hung", world.clock())


@pytest.mark.parametrize("worker", ["capture", "inference"])
def test_a_worker_that_comes_back_is_ok_and_may_fall_silent_again(worker) -> None:
    world = World()
    world.beat(worker)
    world.states_after(100)
    world.beat(worker)
    assert world.states_after(0) == [(worker, "ok")]
    ((_, state),) = world.states_after(100)
    assert state in ("stale", "hung")


def test_a_hung_learner_stays_hung() -> None:
    world = World()
    world.beat("learner")
    world.states_after(9)
    world.beat("learner")
    assert world.states_after(0) == [] and world.supervisor.is_learner_hung


def test_a_stream_may_take_its_time_for_the_first_frame() -> None:
    world = World()
    world.beat("capture", times=1)
    assert world.states_after(30) == []
    assert world.states_after(1) == [("capture", "stale")]


def test_a_slow_stream_is_stale_after_ten_periods() -> None:
    world = World(period_s=2.0)
    world.beat("capture")
    assert world.states_after(20) == []
    assert world.states_after(1) == [("capture", "stale")]


def test_slow_models_are_given_time() -> None:
    world = World()
    for inference_s in (3.0, 0.5, 3.0):
        world.supervisor.note(make_prediction(inference_s=inference_s))
    world.beat("learner")
    world.beat("inference")
    assert world.states_after(8.5) == []
    for _ in range(10):
        world.beats["learner"].stir()
        assert world.states_after(8) == []
    world.beats["learner"].stir()
    assert world.states_after(2) == [("inference", "hung"), ("learner", "hung")]


@pytest.mark.parametrize(("inference_s", "limit_s"), [(0.05, 8.0), (0.5, 8.0), (3.0, 9.0)])
def test_a_learner_stuck_in_an_operation_is_hung_within_ten_seconds_however_long_a_step_may_take(
    inference_s, limit_s
) -> None:
    world = World()
    world.supervisor.note(make_prediction(inference_s=inference_s))
    world.beat("learner")
    world.clock.advance(0.5)
    world.beats["learner"].stir()
    assert world.states_after(limit_s - 0.5) == []
    assert world.states_after(0.75) == [("learner", "hung")]


def test_a_learner_that_stirs_but_never_ends_its_step_is_hung_too() -> None:
    world = World()
    world.supervisor.note(make_prediction(inference_s=0.5))
    world.beat("learner")
    for _ in range(30):
        assert world.states_after(0.5) == []
        world.beats["learner"].stir()
    world.clock.advance(0.125)
    fault, _ = world.supervisor.poll()
    assert fault.detail == "no end of a step in 15.1 s; nothing is learned for the rest of the run"


def test_a_few_slow_predictions_give_no_time() -> None:
    """A machine that was busy for a moment."""
    world = World()
    for inference_s in (30.0, 0.05, 0.05, 8.0, 0.05):
        world.supervisor.note(make_prediction(inference_s=inference_s))
    world.beat("learner")
    assert world.states_after(8.5) == [("learner", "hung")]


def test_only_the_last_predictions_tell_how_long_one_takes() -> None:
    world = World()
    for inference_s in (*[3.0] * 400, *[0.05] * 60):
        world.supervisor.note(make_prediction(inference_s=inference_s))
    world.beat("learner")
    assert world.states_after(8.5) == [("learner", "hung")]


class Failing:
    """A cycle that raises at frames of `at`; recovering raises as long as `broken` counts down."""

    def __init__(self, *, at: set[int], broken: int = 0) -> None:
        self.at = at
        self.broken = broken
        self.is_given_up = False

    def consider(self, predictions):
        for prediction in predictions:
            index = prediction.frame.index
            yield ShiftScore(index, 0.5, False, 0.0)
            if index in self.at:
                raise RuntimeError(f"broke at {index}")

    def recover(self, frame_index):
        self.broken -= 1
        if self.broken >= 0:
            raise OSError("still broken")
        yield Rollback(frame_index, 3, "recovered", 0.0)

    def give_up(self):
        self.is_given_up = True


def consider(cycle, *numbers):
    return list(cycle.consider([make_prediction(make_frame(number)) for number in numbers]))


def states(happened) -> list[str]:
    return [event.state for event in happened if isinstance(event, WorkerChanged)]


def test_what_a_cycle_says_passes_through() -> None:
    cycle = RestartingCycle(Failing(at=set()), clock=ManualClock())
    assert [event.frame_index for event in consider(cycle, 1, 2)] == [1, 2]


def test_a_failure_is_told_after_what_came_before_it_and_learning_goes_on() -> None:
    cycle = RestartingCycle(Failing(at={2}), clock=ManualClock())
    kinds = [type(event).__name__ for event in consider(cycle, 1, 2, 3)]
    assert kinds == ["ShiftScore", "ShiftScore", "Fault", "Rollback", "WorkerChanged"]
    assert [event.frame_index for event in consider(cycle, 4)] == [4]


def test_the_fourth_failure_within_five_minutes_ends_learning() -> None:
    clock, failing = ManualClock(), Failing(at={1})
    cycle = RestartingCycle(failing, clock=clock)
    for _ in range(3):
        assert states(consider(cycle, 1)) == ["restarted"] and not failing.is_given_up
        clock.advance(100)
    *_, fault, change = consider(cycle, 1)
    assert failing.is_given_up, "what it learnt serves no more"
    assert fault.detail == "restarted 3 times in 5 minutes; learning stays off"
    assert (change.component, change.state) == ("learner", "off")
    assert consider(cycle, 1, 2, 3) == []


def test_failures_far_apart_never_end_learning() -> None:
    clock = ManualClock()
    cycle = RestartingCycle(Failing(at={1}), clock=clock)
    for _ in range(12):
        assert states(consider(cycle, 1)) == ["restarted"]
        clock.advance(101)


def test_recovering_may_fail_too() -> None:
    clock = ManualClock()
    twice = consider(RestartingCycle(Failing(at={1}, broken=2), clock=clock), 1)
    assert [event.detail for event in twice if isinstance(event, Fault)] == [
        "RuntimeError: broke at 1",
        *["OSError: still broken"] * 2,
    ]
    assert states(twice) == ["restarted"]
    assert states(consider(RestartingCycle(Failing(at={1}, broken=9), clock=clock), 1)) == ["off"]
