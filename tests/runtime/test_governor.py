"""The governor sheds learning on late frames and comes back slowly."""

import math

import numpy as np

from runtime.effort import LEVELS
from runtime.events import GovernorChanged, Prediction
from runtime.governor import DOWN_WINDOW_S, Governor
from streams.frame import Frame

IMAGE = np.zeros((8, 8, 3), np.uint8)


def prediction(index: int, at_s: float, latency_s: float) -> Prediction:
    frame = Frame(index=index, captured_at_s=at_s - latency_s, image_HWC=IMAGE)
    return Prediction(frame, 0, IMAGE[..., 0], 0.5, 0.5, at_s - latency_s, at_s)


def drive(governor: Governor, *, seconds: float, latency_s: float, start_s: float = 0.0) -> list[GovernorChanged]:
    changes = []
    for index in range(int(seconds * 10)):
        change = governor.update(prediction(index, start_s + index / 10, latency_s))
        if change is not None:
            changes.append(change)
    return changes


def test_frames_in_time_change_nothing() -> None:
    governor = Governor(period_s=0.1)
    assert drive(governor, seconds=60, latency_s=0.09) == []
    assert governor.admits_step()


def test_late_frames_shed_level_by_level_up_to_off() -> None:
    governor = Governor(period_s=0.1)
    changes = drive(governor, seconds=30, latency_s=0.2)
    assert [change.level for change in changes] == list(range(1, len(LEVELS)))
    assert not any(governor.admits_step() for _ in range(16))
    assert "late" in changes[0].reason


def test_the_way_back_takes_a_long_clean_stretch() -> None:
    governor = Governor(period_s=0.1)
    drive(governor, seconds=2.1, latency_s=0.2)
    assert governor.level == 1
    assert drive(governor, seconds=DOWN_WINDOW_S - 1, latency_s=0.01, start_s=2.1) == []
    assert [change.level for change in drive(governor, seconds=3, latency_s=0.01, start_s=DOWN_WINDOW_S + 1.1)] == [0]


def test_without_a_deadline_nothing_is_late() -> None:
    assert drive(Governor(period_s=math.inf), seconds=30, latency_s=99.0) == []
