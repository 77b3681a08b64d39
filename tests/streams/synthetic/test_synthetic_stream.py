"""The drive as a stream, and the samples of places that it never visits."""

import itertools

import numpy as np
import pytest

from streams.frame import Frame
from streams.synthetic.scene import Scene
from streams.synthetic.sequences import Sequence, Visit
from streams.synthetic.stream import SyntheticStream, clear_samples
from streams.synthetic.weather import Weather, apply_weather

SIZE_HW = (64, 128)
DRY, WET = Weather(), Weather(rain_mm_h=100.0)
SHOWER = Sequence("shower", (Visit("clear", DRY, DRY, 3), Visit("rain", DRY, WET, 3), Visit("clear", DRY, DRY, 1)), "")


def play(start: int = 0, seed: int = 4) -> list[Frame]:
    ticks = itertools.count(100.0, 0.5)
    stream = SyntheticStream(SHOWER, seed=seed, size_HW=SIZE_HW, start=start, clock=lambda: float(next(ticks)))
    assert stream.num_frames == 7 - start
    return list(stream)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return play()


def test_frames_carry_truth_domain_and_time(frames: list[Frame]) -> None:
    assert [frame.index for frame in frames] == list(range(7))
    assert [frame.domain for frame in frames] == ["clear"] * 3 + ["rain"] * 3 + ["clear"]
    assert [frame.captured_at_s for frame in frames] == [100.0 + 0.5 * i for i in range(7)]
    for frame in frames:
        assert frame.image_HWC.shape == (*SIZE_HW, 3)
        assert frame.label_HW is not None and frame.label_HW.shape == SIZE_HW
        assert frame.depth_HW is not None and frame.depth_HW.shape == SIZE_HW
        assert frame.flow_HW2 is not None and frame.flow_HW2.shape == (*SIZE_HW, 2)


def test_weather_changes_the_image_and_nothing_else(frames: list[Frame]) -> None:
    scene = Scene(seed=8, size_HW=SIZE_HW, fps=10.0)
    for frame in (frames[1], frames[5]):
        shot = scene.render(frame.index)
        weather = SHOWER.at(frame.index)[1]
        expected_HWC = apply_weather(shot.image_HWC, shot.depth_HW, weather, seed=4, index=frame.index)
        assert np.array_equal(frame.image_HWC, expected_HWC)
        assert frame.label_HW is not None and np.array_equal(frame.label_HW, shot.label_HW)
    assert not np.array_equal(frames[5].image_HWC, scene.render(5).image_HWC)


def test_a_later_start_gives_the_same_frames(frames: list[Frame]) -> None:
    for early, late in zip(frames[4:], play(start=4), strict=True):
        assert early.index == late.index
        assert np.array_equal(early.image_HWC, late.image_HWC)


def test_the_protocol_around_it() -> None:
    stream = SyntheticStream(SHOWER, seed=0, size_HW=SIZE_HW, fps=8.0)
    assert (stream.name, stream.fps, stream.is_live, stream.cursor) == ("shower", 8.0, False, 0)
    assert stream.faults == {}
    for frame in stream:
        if frame.index == 1:
            stream.close()
            stream.close()
    assert stream.cursor == 2


def test_samples_are_clear_labelled_and_repeatable() -> None:
    samples = list(clear_samples(3, seed=0, size_HW=(32, 64)))
    assert [sample.index for sample in samples] == [0, 1, 2]
    assert {sample.domain for sample in samples} == {"clear"}
    assert all(sample.label_HW is not None for sample in samples)
    again = next(clear_samples(1, seed=0, size_HW=(32, 64)))
    assert np.array_equal(again.image_HWC, samples[0].image_HWC)
    assert len({sample.image_HWC.tobytes() for sample in samples}) == 3
