"""Cameras, played by a scripted device: time stamps, silence, loss and closing."""

import threading
from collections.abc import Iterable

import numpy as np
import pytest

from streams.camera import FIRST_RETRY_S, LONGEST_RETRY_S, MAX_RETRIES, Camera
from streams.capture import Capture
from streams.stream import StreamNotOpened, UnknownStream, open_stream
from tests.fakes import ManualClock


class ScriptedDevice:
    """Gives a BGR picture for every True of the script, nothing afterwards; a read takes 0.1 s."""

    def __init__(self, script: Iterable[bool], clock: ManualClock) -> None:
        self._script = iter(script)
        self._clock = clock
        self.num_released = 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self._clock.advance(0.1)
        if not next(self._script, False):
            return False, None
        return True, np.full((4, 6, 3), (1, 2, 3), np.uint8)

    def release(self) -> None:
        self.num_released += 1


def make_camera(script: Iterable[bool]) -> tuple[Camera, ScriptedDevice, ManualClock, list[float]]:
    clock = ManualClock(0.0)
    device = ScriptedDevice(script, clock)
    waits: list[float] = []
    camera = Camera(Capture(device, size_HW=(2, 3)), name="camera_0", fps=30.0, clock=clock, wait=waits.append)
    return camera, device, clock, waits


def test_frames_are_stamped_when_grabbed() -> None:
    camera, _, _, _ = make_camera([True] * 3)
    frames = iter(camera)
    taken = [next(frames) for _ in range(3)]
    assert [frame.index for frame in taken] == [0, 1, 2]
    assert [frame.captured_at_s for frame in taken] == pytest.approx([0.1, 0.2, 0.3])
    assert taken[0].image_HWC.tolist() == [[[3, 2, 1]] * 3] * 2
    assert camera.is_live and camera.num_frames is None


def test_silence_is_waited_out_and_no_frame_invented() -> None:
    camera, _, _, waits = make_camera([True, False, False, True, False, True])
    frames = iter(camera)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    assert camera.faults == {"read_error": 3}
    assert waits == pytest.approx([FIRST_RETRY_S, 2 * FIRST_RETRY_S, FIRST_RETRY_S])


def test_a_camera_that_stays_silent_ends_the_stream_and_is_released() -> None:
    camera, device, _, waits = make_camera([True])
    assert len(list(camera)) == 1
    assert camera.faults == {"read_error": MAX_RETRIES + 1}
    assert max(waits) == LONGEST_RETRY_S and sum(waits) < 10
    assert device.num_released


def test_closing_ends_the_iteration_and_releases() -> None:
    camera, device, _, _ = make_camera([True] * 100)
    frames = iter(camera)
    next(frames)
    camera.close()
    assert list(frames) == []
    assert device.num_released


def test_closing_during_a_read_leaves_the_release_to_the_reader() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class SlowDevice:
        is_reading = False
        num_released = 0

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.is_reading = True
            reading.set()
            go_on.wait(10)
            self.is_reading = False
            return True, np.zeros((4, 6, 3), np.uint8)

        def release(self) -> None:
            assert not self.is_reading
            self.num_released += 1

    device = SlowDevice()
    capture = Capture(device)
    reader = threading.Thread(target=capture.read)
    reader.start()
    assert reading.wait(10)
    capture.close()
    assert device.num_released == 0
    go_on.set()
    reader.join(10)
    assert device.num_released == 1
    assert capture.read() is None


def test_no_camera_there_is_told_in_one_line(capfd) -> None:
    with pytest.raises(StreamNotOpened, match="camera:97: no camera gives pictures there; connect one") as caught:
        open_stream("camera:97")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("uri", ["camera:", "camera:front", "camera:-1", "camera:00000", "camera:99999999999"])
def test_a_camera_has_a_number(uri) -> None:
    with pytest.raises(UnknownStream, match="expected a whole number") as caught:
        open_stream(uri)
    assert str(caught.value).isprintable()
