"""When frames are released, on a clock moved by hand."""

import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.frame import Frame
from streams.pacing import Paced, Schedule
from streams.stream import UnknownStream
from tests.fakes import ManualClock, make_frame

FPS = 10.0
PERIOD_S = 0.1
EPSILON_S = 1e-6


class SlowStream:
    """Frames with the given indices; making the i-th takes the i-th time."""

    name, fps, is_live, num_frames, cursor = "slow", FPS, False, None, 0
    faults: Mapping[str, int] = {}

    def __init__(self, indices: list[int], times_s: list[float], clock: ManualClock, *, is_live: bool = False) -> None:
        self._made = list(zip(indices, times_s, strict=True))
        self._clock = clock
        self.is_live = is_live
        self.is_closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index, time_s in self._made:
            yield make_frame(index, at_s=self._clock.advance(time_s))

    def close(self) -> None:
        self.is_closed = True


def play(pace, times_s: list[float], *, indices: list[int] | None = None, busy_s: float = 0.0) -> list[Frame]:
    """All frames, the consumer taking `busy_s` for each."""
    clock = ManualClock(50.0)
    stream = SlowStream(indices or list(range(len(times_s))), times_s, clock)
    frames = []
    for frame in Paced(stream, pace=pace, clock=clock, wait=clock.advance):
        assert pace == "lockstep" or frame.captured_at_s == clock()
        frames.append(frame)
        clock.advance(busy_s)
    return frames


def gaps_s(frames: list[Frame]) -> list[float]:
    times_s = [frame.captured_at_s for frame in frames]
    return [later - earlier for earlier, later in pairwise(times_s)]


making_times = st.lists(st.floats(0.0, 0.35), min_size=1, max_size=60)


@settings(deadline=None)
@given(making_times)
def test_live_is_monotone_and_loses_nothing(times_s) -> None:
    frames = play("live", times_s)
    assert [frame.index for frame in frames] == list(range(len(times_s)))
    assert all(gap_s >= 0 for gap_s in gaps_s(frames))


@settings(deadline=None)
@given(making_times)
def test_live_never_runs_ahead_of_the_rate(times_s) -> None:
    """From any frame on, the n-th after it comes at most one period early: the delay of that frame itself."""
    releases_s = [frame.captured_at_s for frame in play("live", times_s)]
    for first in range(len(releases_s)):
        for later in range(first, len(releases_s)):
            assert releases_s[later] >= releases_s[first] + (later - first - 1) * PERIOD_S - EPSILON_S


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 0.099), min_size=2, max_size=60))
def test_live_keeps_the_rate_when_frames_are_made_in_time(times_s) -> None:
    assert gaps_s(play("live", times_s)) == pytest.approx([PERIOD_S] * (len(times_s) - 1), abs=EPSILON_S)


def test_live_makes_up_for_a_small_delay() -> None:
    assert gaps_s(play("live", [0.0, 0.15, 0.0, 0.0])) == pytest.approx([0.15, 0.05, 0.1])


def test_live_does_not_burst_after_a_stall() -> None:
    assert gaps_s(play("live", [0.0, 2.0, 0.0, 0.0])) == pytest.approx([2.0, 0.1, 0.1])


def test_live_gives_a_lost_frame_its_time() -> None:
    assert gaps_s(play("live", [0.0] * 3, indices=[0, 1, 4])) == pytest.approx([0.1, 0.3])


def test_live_starts_at_once_wherever_the_stream_starts() -> None:
    (first, _) = play("live", [0.0, 0.0], indices=[500, 501])
    assert first.captured_at_s == 50.0


@settings(deadline=None)
@given(making_times)
def test_max_waits_for_nothing(times_s) -> None:
    assert gaps_s(play("max", times_s, busy_s=0.01)) == pytest.approx([s + 0.01 for s in times_s[1:]], abs=EPSILON_S)


@settings(deadline=None)
@given(making_times)
def test_lockstep_knows_no_clock(times_s) -> None:
    frames = play("lockstep", times_s, busy_s=0.3)
    assert [frame.captured_at_s for frame in frames] == [frame.index / FPS for frame in frames]


@pytest.mark.parametrize("pace", ["live", "max"])
def test_cameras_keep_their_own_times(pace) -> None:
    clock = ManualClock(0.0)
    stream = SlowStream([0, 1, 2], [0.02, 0.02, 0.02], clock, is_live=True)
    times_s = [frame.captured_at_s for frame in Paced(stream, pace=pace, clock=clock, wait=clock.advance)]
    assert times_s == pytest.approx([0.02, 0.04, 0.06])


def test_a_camera_cannot_be_played_in_lockstep() -> None:
    with pytest.raises(UnknownStream, match=r"--pace lockstep: slow is a camera .*; use --pace live"):
        Paced(SlowStream([], [], ManualClock(), is_live=True), pace="lockstep")


def test_closing_cuts_a_wait_short() -> None:
    clock = ManualClock(0.0)
    stream = SlowStream([0, 1], [0.0, 0.0], clock)
    paced = Paced(stream, pace="live", clock=clock, wait=lambda _: paced.close())
    assert [frame.index for frame in paced] == [0]
    assert stream.is_closed


def test_closing_from_another_thread_ends_the_wait_for_a_frame() -> None:
    clock = ManualClock(0.0)  # stands still: the second frame would never be due
    paced = Paced(SlowStream([0, 1], [0.0, 0.0], clock), pace="live", clock=clock)
    frames = iter(paced)
    next(frames)
    closer = threading.Thread(target=paced.close)
    closer.start()
    assert list(frames) == []
    closer.join()


def test_a_wait_that_returns_early_is_continued() -> None:
    clock = ManualClock(0.0)
    stream = SlowStream([0, 1], [0.0, 0.0], clock)
    paced = Paced(stream, pace="live", clock=clock, wait=lambda seconds: clock.advance(min(seconds, 0.03)))
    assert gaps_s(list(paced)) == pytest.approx([PERIOD_S])


def test_due_times_do_not_drift() -> None:
    schedule = Schedule(30.0)
    schedule.due_s(0, 0.0)
    assert schedule.due_s(30_000, 0.0) == pytest.approx(1000.0, abs=1e-9)
