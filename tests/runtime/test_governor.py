"""The governor sheds learning on facts, one level at a time, comes back slowly, and never runs away."""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.effort import LEVELS
from runtime.events import GovernorChanged, Prediction
from runtime.governor import (
    DOWN_WAIT_S,
    MAX_DOWN_WAIT_S,
    MEMORY_EVERY_S,
    OOM_LIMIT,
    OOM_WINDOW_S,
    REASONS,
    UP_WINDOW_S,
    Governor,
)
from streams.frame import Frame
from tests.fakes import make_step

IMAGE = np.zeros((8, 8, 3), np.uint8)
PERIOD_S = 0.1
LAST = len(LEVELS) - 1
# Exact in binary, so that two clocks agree on what lies between two events.
GAPS_S = st.integers(1, 192).map(lambda sixty_fourths: sixty_fourths / 64)
OFFSETS_S = st.integers(-100_000, 100_000).map(float)


def prediction(at_s: float, *, latency_s: float = 0.01, wait_s: float = 0.0) -> Prediction:
    """Finished at `at_s`, `latency_s` after capture; inference started `wait_s` after capture."""
    frame = Frame(index=0, captured_at_s=at_s - latency_s, image_HWC=IMAGE)
    return Prediction(frame, 0, IMAGE[..., 0], 0.5, 0.5, frame.captured_at_s + wait_s, at_s)


class Drive:
    """A governor fed with ten frames per second."""

    def __init__(self, governor: Governor | None = None) -> None:
        self.governor = governor or Governor(period_s=PERIOD_S)
        self.changes: list[GovernorChanged] = []
        self.ticks = 0

    @property
    def now_s(self) -> float:
        return self.ticks / 10

    def run(self, seconds: float, *, late_every: int = 0, wait_s: float = 0.0) -> list[int]:
        """Levels entered during so many seconds in which each `late_every`-th frame is late (0: none)."""
        known = len(self.changes)
        for _ in range(round(seconds * 10)):
            is_late = late_every > 0 and self.ticks % late_every == 0
            self.note(
                self.governor.update(
                    prediction(self.now_s, latency_s=0.25 if is_late else 0.05, wait_s=wait_s if is_late else 0.0)
                )
            )
            self.ticks += 1
        return [change.level for change in self.changes[known:]]

    def shed(self) -> None:
        """Late frames until a level is given up."""
        level = self.governor.level
        while self.governor.level == level:
            self.run(0.1, late_every=1)

    def step(self, outcome: str = "applied") -> None:
        self.note(self.governor.note_step(make_step(outcome=outcome, at_s=self.now_s)))

    def note(self, change: GovernorChanged | None) -> None:
        if change is not None:
            self.changes.append(change)


def test_frames_in_time_change_nothing() -> None:
    drive = Drive()
    assert drive.run(60) == []
    assert drive.governor.admits_step() and drive.governor.effort is LEVELS[0]


def test_late_frames_shed_level_by_level_up_to_off() -> None:
    drive = Drive()
    assert drive.run(60, late_every=1) == [1, 2, 3, 4]
    first, last = drive.changes[0], drive.changes[-1]
    assert UP_WINDOW_S <= first.at_s < UP_WINDOW_S + 0.2
    assert (first.name, first.reason, last.name) == ("rate", "late", "off") and "late" in first.detail
    assert not any(drive.governor.admits_step() for _ in range(50))


def test_frames_that_waited_are_a_reason_of_their_own() -> None:
    drive = Drive()
    drive.run(3, late_every=1, wait_s=0.15)
    assert drive.changes[0].reason == "age"


def test_each_level_admits_its_share_of_frames() -> None:
    drive = Drive()
    for effort in LEVELS[:-1]:
        num_admitted = sum(drive.governor.admits_step() for _ in range(60))
        assert num_admitted == 60 / effort.frames_per_step
        drive.shed()


def test_the_way_back_takes_a_long_calm_stretch_for_each_level() -> None:
    drive = Drive()
    drive.shed()
    drive.shed()
    assert drive.governor.level == 2
    assert drive.run(DOWN_WAIT_S - 1) == []
    assert drive.run(2 * DOWN_WAIT_S + 5) == [1, 0]
    assert {change.reason for change in drive.changes[-2:]} == {"calm"}


def test_a_rare_late_frame_neither_sheds_nor_keeps_learning_away() -> None:
    drive = Drive()
    drive.shed()
    assert drive.run(60, late_every=25) == [0]


def test_between_calm_and_missed_nothing_moves() -> None:
    drive = Drive()
    drive.shed()
    assert drive.run(200, late_every=11) == []  # two late frames in most windows of twenty or twenty-one
    assert drive.governor.level == 1


def test_a_level_given_up_again_soon_is_kept_off_twice_as_long() -> None:
    drive = Drive()
    drive.shed()
    waits = []
    for _ in range(7):
        start_s = drive.now_s
        while drive.governor.level == 1:
            drive.run(0.1)
        waits.append(drive.now_s - start_s)
        drive.shed()
    expected = [min(MAX_DOWN_WAIT_S, DOWN_WAIT_S * 2**number) for number in range(7)]
    assert waits == pytest.approx(expected, abs=2 * UP_WINDOW_S)
    drive.run(2 * MAX_DOWN_WAIT_S + 10)
    drive.shed()
    assert drive.run(DOWN_WAIT_S + 5) == [0]  # long calm: the patience of the start is back


def test_a_silent_stream_is_neither_late_nor_calm() -> None:
    drive = Drive()
    drive.shed()
    drive.ticks += 10 * 3600
    assert drive.run(5) == []
    assert drive.governor.level == 1


def test_slow_streams_need_a_few_frames() -> None:
    governor = Governor(period_s=4.0)
    assert governor.update(prediction(0.0, latency_s=5.0)) is None
    assert governor.update(prediction(4.0, latency_s=5.0)) is None
    changed = governor.update(prediction(8.0, latency_s=5.0))
    assert changed is not None and changed.level == 1


def test_without_a_deadline_nothing_is_late() -> None:
    assert Drive(Governor(period_s=math.inf)).run(60, late_every=1, wait_s=0.2) == []


def test_memory_nearly_used_up_sheds_and_room_brings_back() -> None:
    share, readings = 0.95, []

    def memory_share() -> float:
        readings.append(share)
        return share

    drive = Drive(Governor(period_s=math.inf, memory_share=memory_share))
    assert drive.run(4.3) == [1, 2]
    assert drive.changes[0].reason == "memory" and "95%" in drive.changes[0].detail
    share = 0.85
    assert drive.run(100) == []
    share = 0.5
    assert drive.run(2 * DOWN_WAIT_S + 6) == [1, 0]
    assert len(readings) == pytest.approx(drive.now_s / MEMORY_EVERY_S, abs=2)


def test_one_high_reading_of_memory_is_no_fact() -> None:
    readings = iter([0.5, 0.99, *[0.5] * 100])
    assert Drive(Governor(period_s=math.inf, memory_share=lambda: next(readings))).run(30) == []


def test_a_step_out_of_memory_costs_a_level_at_once() -> None:
    drive = Drive()
    drive.run(1)
    drive.step("oom")
    assert [(change.level, change.reason) for change in drive.changes] == [(1, "oom")]
    assert drive.run(2 * DOWN_WAIT_S) == [0]


def test_the_third_out_of_memory_in_ten_minutes_ends_learning_for_good() -> None:
    drive = Drive()
    for _ in range(OOM_LIMIT):
        drive.step("oom")
        drive.run(30)
    assert drive.governor.level == LAST and "stays off" in drive.changes[-1].detail
    assert drive.run(4 * MAX_DOWN_WAIT_S) == []


def test_out_of_memory_now_and_then_does_not() -> None:
    drive = Drive()
    for _ in range(2 * OOM_LIMIT):
        drive.step("oom")
        drive.run(OOM_WINDOW_S / (OOM_LIMIT - 1) + 1)
    assert drive.governor.level == 0


def test_a_change_tells_what_steps_cost() -> None:
    drive = Drive()
    for _ in range(22):
        drive.run(0.1, late_every=1)
        drive.step()  # 40 ms every 100 ms
    (first,) = drive.changes
    assert math.isnan(first.step_ms) and first.cost_share == pytest.approx(0.4, rel=0.1)
    drive.run(DOWN_WAIT_S + 5)
    back = drive.changes[-1]
    assert back.level == 0 and back.step_ms == pytest.approx(40.0) and back.cost_share == 0.0


def test_a_deadline_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="period_s"):
        Governor(period_s=0.0)


class Machine(RuleBasedStateMachine):
    """A stream of facts, with pauses, restarts and another governor that was replaced at each of them.

    `governor` goes on for ever; `resumed` is rebuilt from its state, on a clock that starts anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = 0.2
        self.governor = Governor(period_s=PERIOD_S, memory_share=lambda: self.memory)
        self.resumed = Governor(period_s=PERIOD_S, memory_share=lambda: self.memory)
        self.now_s = 0.0
        self.offset_s = 0.0
        self.num_facts = 0  # misses since the last change
        self.num_ooms = 0
        self.last_change_s = -math.inf
        self.is_first = True

    def frame(self, gap_s: float, *, is_late: bool) -> None:
        self.now_s += 0.0 if self.is_first else gap_s
        self.is_first = False
        latency_s = 0.3 if is_late else 0.02
        self.num_facts += is_late or self.memory >= 0.9
        level = self.governor.level
        changed = self.governor.update(prediction(self.now_s, latency_s=latency_s))
        twin = self.resumed.update(prediction(self.now_s + self.offset_s, latency_s=latency_s))
        assert (changed is None) == (twin is None)
        if changed is None or twin is None:
            return
        assert (changed.level, changed.reason, changed.detail) == (twin.level, twin.reason, twin.detail)
        assert abs(changed.level - level) == 1 and changed.reason in REASONS
        assert self.now_s - self.last_change_s >= UP_WINDOW_S - 1e-6
        if changed.level > level:
            assert self.num_facts > 0
        else:
            assert self.now_s - self.last_change_s >= DOWN_WAIT_S - 1e-6
        self.last_change_s = self.now_s
        self.num_facts = 0

    @rule(number=st.integers(1, 60), gap_s=GAPS_S, late_every=st.integers(0, 20))
    def frames(self, number: int, gap_s: float, late_every: int) -> None:
        for index in range(number):
            self.frame(gap_s, is_late=late_every > 0 and index % late_every == 0)

    @rule(share=st.sampled_from([0.2, 0.85, 0.95]))
    def memory_changes(self, share: float) -> None:
        self.memory = share

    @precondition(lambda self: not self.is_first)
    @rule()
    def out_of_memory(self) -> None:
        for governor, offset_s in ((self.governor, 0.0), (self.resumed, self.offset_s)):
            level = governor.level
            changed = governor.note_step(make_step(outcome="oom", at_s=self.now_s + offset_s))
            assert (changed is None) == (level == LAST) and governor.level >= min(LAST, level + 1)
        self.num_ooms += 1
        self.last_change_s, self.num_facts = self.now_s, 0

    @rule(offset_s=OFFSETS_S)
    def restart(self, offset_s: float) -> None:
        state = self.resumed.state()
        self.resumed = Governor(period_s=PERIOD_S, memory_share=lambda: self.memory)
        self.resumed.load_state(state)
        self.offset_s, self.is_first = offset_s, True

    @rule(number=st.integers(1, 20))
    def eligible_frames(self, number: int) -> None:
        admitted = [self.governor.admits_step() for _ in range(number)]
        assert admitted == [self.resumed.admits_step() for _ in range(number)]
        assert self.governor.level < LAST or not any(admitted)

    @invariant()
    def in_range_and_alike(self) -> None:
        assert 0 <= self.governor.level <= LAST
        assert self.governor.level == self.resumed.level
        assert self.governor.effort is LEVELS[self.governor.level]

    def teardown(self) -> None:
        self.memory = 0.2
        for _ in range(int((LAST + 2) * (MAX_DOWN_WAIT_S + 2 * UP_WINDOW_S))):
            self.frame(1.0, is_late=False)
        assert self.governor.level == (0 if self.num_ooms < OOM_LIMIT else self.governor.level)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, derandomize=True)
