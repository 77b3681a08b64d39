"""Cameras, played by a scripted device: time stamps, silence, loss and closing. The first picture that had to be
waited for is never given: it shows that none is old.
"""

import threading

import numpy as np
import pytest

from streams.camera import FIRST_RETRY_S, LONGEST_RETRY_S, MAX_QUEUED, MAX_RETRIES, Camera
from streams.capture import Capture
from streams.stream import StreamLost, StreamNotOpened, UnknownStream, open_stream
from tests.fakes import ManualClock
from tests.streams.scripted import ScriptedDevice


def make_camera(script: str) -> tuple[Camera, ScriptedDevice, ManualClock, list[float]]:
    clock = ManualClock(0.0)
    device = ScriptedDevice(script, clock)
    waits: list[float] = []
    camera = Camera(Capture(device.open, size_HW=(2, 3)), number=0, fps=30.0, clock=clock, wait=waits.append)
    return camera, device, clock, waits


def test_frames_are_stamped_when_grabbed_before_they_are_decoded() -> None:
    camera, _, _, _ = make_camera("####")
    frames = iter(camera)
    taken = [next(frames) for _ in range(3)]
    assert [frame.index for frame in taken] == [0, 1, 2]
    assert [frame.captured_at_s for frame in taken] == pytest.approx([0.2, 0.35, 0.5])
    assert taken[0].image_HWC.tolist() == [[[3, 2, 1]] * 3] * 2
    assert (camera.name, camera.is_live, camera.num_frames) == ("camera_0", True, None)


@pytest.mark.parametrize("num_queued", [1, 4, MAX_QUEUED - 1])
def test_pictures_from_before_the_run_are_not_given(num_queued) -> None:
    camera, _, _, _ = make_camera("q" * num_queued + "##")
    assert next(iter(camera)).captured_at_s == pytest.approx(0.2)


def test_a_camera_that_never_keeps_waiting_is_believed_after_a_while() -> None:
    camera, _, _, _ = make_camera("q" * (MAX_QUEUED + 3))
    frames = iter(camera)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]


def test_a_torn_picture_is_no_reason_to_open_the_camera_anew() -> None:
    camera, device, _, waits = make_camera("##~#")
    frames = iter(camera)
    assert [next(frames).index for _ in range(2)] == [0, 1]
    assert camera.faults == {"read_error": 1} and waits == [FIRST_RETRY_S]
    assert device.num_opened == 1


def test_silence_is_waited_out_on_a_handle_opened_anew_and_no_frame_invented() -> None:
    camera, device, _, waits = make_camera("##--#-#")
    frames = iter(camera)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    assert camera.faults == {"read_error": 3}
    assert waits == pytest.approx([FIRST_RETRY_S, 2 * FIRST_RETRY_S, FIRST_RETRY_S])
    assert (device.num_opened, device.num_released) == (4, 3)


def test_a_camera_that_stays_silent_is_lost_and_released() -> None:
    camera, device, _, waits = make_camera("##")
    frames = iter(camera)
    next(frames)
    with pytest.raises(StreamLost, match=r"^--stream camera:0: it gives no pictures any more") as caught:
        next(frames)
    assert str(caught.value).isprintable()
    assert camera.faults == {"read_error": MAX_RETRIES + 1}
    assert max(waits) == LONGEST_RETRY_S and sum(waits) == pytest.approx(6.55)
    assert device.num_opened == device.num_released == MAX_RETRIES + 1


def test_closing_ends_the_iteration_and_releases() -> None:
    camera, device, _, _ = make_camera("#" * 100)
    frames = iter(camera)
    next(frames)
    camera.close()
    assert list(frames) == []
    assert device.num_released == 1


def test_closing_while_it_is_silent_is_no_loss() -> None:
    clock = ManualClock()
    device = ScriptedDevice("##", clock)
    capture = Capture(device.open)
    camera = Camera(capture, number=0, fps=30.0, clock=clock, wait=lambda _: capture.close())
    assert len(list(camera)) == 1
    assert device.num_opened == device.num_released == 1


def test_closing_during_a_grab_leaves_the_release_to_the_reader() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class SlowDevice:
        is_reading = False
        num_released = 0

        def grab(self) -> bool:
            self.is_reading = True
            reading.set()
            go_on.wait(10)
            self.is_reading = False
            return True

        def retrieve(self) -> tuple[bool, np.ndarray | None]:
            return True, np.zeros((4, 6, 3), np.uint8)

        def get(self, _: int, /) -> float:
            return 0.0

        def release(self) -> None:
            assert not self.is_reading
            self.num_released += 1

    device = SlowDevice()
    capture = Capture(lambda: device)
    reader = threading.Thread(target=capture.grab)
    reader.start()
    assert reading.wait(10)
    capture.close()
    assert device.num_released == 0
    go_on.set()
    reader.join(10)
    assert device.num_released == 1
    assert capture.read() is None


def test_closing_while_the_device_is_opened_again_releases_what_was_opened() -> None:
    device = ScriptedDevice("", ManualClock())

    def open_slowly():
        if device.num_opened:
            capture.close()  # as from another thread
        return device.open()

    capture = Capture(open_slowly)
    capture.reopen()
    assert device.num_opened == device.num_released == 2
    capture.reopen()
    assert device.num_opened == 2


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
