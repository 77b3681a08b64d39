"""A recording played once per visit: order, indices, gaps, ramps, resumption."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from streams.frame import Frame
from streams.synthetic.sequences import Sequence, Visit
from streams.synthetic.weather import Weather, apply_weather
from streams.synthetic.weathered import Weathered

DRY, WET = Weather(), Weather(rain_mm_h=50.0)
CLEAR_RAIN_CLEAR = Sequence("shower", (Visit("clear", DRY, DRY), Visit("rain", WET, WET), Visit("clear", DRY, DRY)), "")


class Recording:
    """Labelled frames from memory; those in `broken` are counted and left out, as a decoder would."""

    name, fps, is_live, cursor = "recording", 5.0, False, 0

    def __init__(self, num_frames: int | None, broken: frozenset[int] = frozenset()) -> None:
        self.num_frames = num_frames
        self.faults: Mapping[str, int] = {}
        self.is_closed = False
        self._broken = broken

    def __iter__(self) -> Iterator[Frame]:
        counted: Counter[str] = Counter()
        for index in range(self.num_frames or 0):
            if index in self._broken:
                counted["decode_error"] += 1
                self.faults = dict(counted)
                continue
            drawn = np.random.default_rng(index)
            image_HWC = drawn.integers(0, 255, (32, 48, 3), dtype=np.uint8)
            yield Frame(index, 0.1 * index, image_HWC, label_HW=np.full((32, 48), index, np.uint8), domain="recorded")

    def close(self) -> None:
        self.is_closed = True


def test_each_visit_plays_the_whole_recording() -> None:
    stream = Weathered(lambda: Recording(4), CLEAR_RAIN_CLEAR, seed=0)
    frames = list(stream)
    assert stream.num_frames == 12
    assert stream.cursor == 12
    assert (stream.name, stream.fps, stream.is_live) == ("shower on recording", 5.0, False)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.domain for frame in frames] == ["clear"] * 4 + ["rain"] * 4 + ["clear"] * 4
    assert [int(frame.label_HW[0, 0]) for frame in frames if frame.label_HW is not None] == [0, 1, 2, 3] * 3
    originals = [frame.image_HWC for frame in Recording(4)]
    for position in range(4):
        assert np.array_equal(frames[position].image_HWC, originals[position])
        rendered_HWC = apply_weather(originals[position], None, WET, seed=0, index=4 + position)
        assert np.array_equal(frames[4 + position].image_HWC, rendered_HWC)


def test_ramps_run_over_the_recording() -> None:
    ramp = Sequence("ramp", (Visit("rising", DRY, WET, 3),), "")
    frames = list(Weathered(lambda: Recording(5), ramp, seed=0))
    original_HWC = next(iter(Recording(5))).image_HWC
    assert np.array_equal(frames[0].image_HWC, original_HWC)
    last_HWC = list(Recording(5))[4].image_HWC
    expected_HWC = apply_weather(last_HWC, None, Weather(rain_mm_h=40.0), seed=0, index=4)
    assert np.array_equal(frames[4].image_HWC, expected_HWC)


def test_lost_frames_leave_a_gap_and_are_counted_over_all_passes() -> None:
    stream = Weathered(lambda: Recording(4, frozenset({2})), CLEAR_RAIN_CLEAR, seed=0)
    assert [frame.index for frame in stream] == [0, 1, 3, 4, 5, 7, 8, 9, 11]
    assert stream.faults == {"decode_error": 3}


def test_faults_are_counted_once_while_the_next_pass_is_being_opened() -> None:
    opened: list[Recording] = []
    counted: list[Mapping[str, int]] = []

    def open_recording() -> Recording:
        if opened:
            counted.append(stream.faults)  # as from another thread
        opened.append(Recording(4, frozenset({2})))
        return opened[-1]

    stream = Weathered(open_recording, CLEAR_RAIN_CLEAR, seed=0)
    assert len(list(stream)) == 9
    assert counted == [{"decode_error": 1}, {"decode_error": 2}]


@pytest.mark.parametrize("start", [0, 3, 4, 6, 11, 12])
def test_a_later_start_gives_the_same_frames(start: int) -> None:
    whole = list(Weathered(lambda: Recording(4), CLEAR_RAIN_CLEAR, seed=2))
    stream = Weathered(lambda: Recording(4), CLEAR_RAIN_CLEAR, seed=2, start=start)
    rest = list(stream)
    assert stream.num_frames == 12 - start
    assert [frame.index for frame in rest] == list(range(start, 12))
    for early, late in zip(whole[start:], rest, strict=True):
        assert np.array_equal(early.image_HWC, late.image_HWC)


def test_closing_ends_it_and_closes_every_recording() -> None:
    opened: list[Recording] = []

    def open_recording() -> Recording:
        opened.append(Recording(4))
        return opened[-1]

    stream = Weathered(open_recording, CLEAR_RAIN_CLEAR, seed=0)
    indices = []
    for frame in stream:
        indices.append(frame.index)
        if frame.index == 5:
            stream.close()
            stream.close()
    assert indices == [0, 1, 2, 3, 4, 5]
    assert len(opened) == 2
    assert all(recording.is_closed for recording in opened)


def test_an_endless_recording_is_refused() -> None:
    with pytest.raises(ValueError, match="no known number of frames"):
        Weathered(lambda: Recording(None), CLEAR_RAIN_CLEAR, seed=0)
