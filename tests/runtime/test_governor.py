"""The governor sheds learning on facts, one level at a time, and comes back slowly."""

import math

import pytest

from runtime.effort import LEVELS
from runtime.governor import (
    DOWN_WAIT_S,
    MAX_DOWN_WAIT_S,
    MEMORY_EVERY_S,
    OOM_LIMIT,
    OOM_WINDOW_S,
    UP_WINDOW_S,
    Governor,
)
from tests.runtime.governed import LAST, Drive, prediction


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
