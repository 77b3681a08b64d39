"""A scripted device for tests: a camera that gives pictures, falls silent, and is unplugged."""

from collections.abc import Iterable

import cv2
import numpy as np

from tests.fakes import ManualClock


class ScriptedDevice:
    """Gives a BGR picture for every True of the script, nothing afterwards; a read takes 0.1 s.

    A handle that gave nothing once is dead from then on, as after an unplug; there is one at a time.
    """

    def __init__(self, script: Iterable[bool], clock: ManualClock) -> None:
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
        self._is_dead = self._is_released = False

    def read(self) -> tuple[bool, np.ndarray | None]:
        self._device.clock.advance(0.1)
        self._is_dead = self._is_dead or not next(self._device.script, False)
        return (False, None) if self._is_dead else (True, np.full((4, 6, 3), (1, 2, 3), np.uint8))

    def get(self, property_: int, /) -> float:
        return 30.0 if property_ == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        self._device.num_released += not self._is_released
        self._is_released = True
