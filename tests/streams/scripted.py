"""A scripted device for tests: a camera that gives pictures, falls silent, and is unplugged."""

import cv2
import numpy as np

from tests.fakes import ManualClock


class ScriptedDevice:
    """Gives what the script says, letter by letter: `#` a picture, 0.1 s after it was asked for, `q` one that waited in
    the driver, `~` a torn one, `-` nothing, as after the end of the script. Decoding takes 0.05 s.

    A handle that gave nothing once is dead from then on, as after an unplug; there is one at a time.
    """

    def __init__(self, script: str, clock: ManualClock) -> None:
        self.script = iter(script)
        self.clock = clock
        self.num_opened = 0
        self.num_released = 0

    def open(self) -> "ScriptedHandle":
        assert self.num_released == self.num_opened, "the device is busy"
        self.num_opened += 1
        return ScriptedHandle(self)


class ScriptedHandle:
    """What is opened of it."""

    def __init__(self, device: ScriptedDevice) -> None:
        self._device = device
        self._grabbed = ""
        self._is_released = False

    def grab(self) -> bool:
        if self._grabbed != "-":
            self._grabbed = next(self._device.script, "-")
        self._device.clock.advance(0.0 if self._grabbed == "q" else 0.1)
        return self._grabbed != "-"

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        self._device.clock.advance(0.05)
        return (True, np.full((4, 6, 3), (1, 2, 3), np.uint8)) if self._grabbed in "#q" else (False, None)

    def get(self, property_: int, /) -> float:
        return 30.0 if property_ == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        self._device.num_released += not self._is_released
        self._is_released = True
