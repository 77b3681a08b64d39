"""Frames that must not be learned from, and frames that may."""

import numpy as np
import pytest

from runtime.gate import InputGate
from streams.frame import Frame


def frame(index: int, image_HWC: np.ndarray) -> Frame:
    return Frame(index=index, captured_at_s=0.0, image_HWC=image_HWC)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_ordinary_frames_pass() -> None:
    gate = InputGate()
    assert [gate.refusal(frame(index, picture(index))) for index in range(5)] == [""] * 5


@pytest.mark.parametrize(
    ("image_HWC", "reason"),
    [
        (np.zeros((48, 64, 3), np.uint8), "black"),
        (np.full((48, 64, 3), 127, np.uint8), "flat"),
        (picture(0), "duplicate"),
        (np.concatenate([picture(1)[:28], picture(0)[28:]]), "torn"),
    ],
)
def test_useless_frames_are_named(image_HWC: np.ndarray, reason: str) -> None:
    gate = InputGate()
    gate.refusal(frame(0, picture(0)))
    assert gate.refusal(frame(1, image_HWC)) == reason


def test_an_index_that_does_not_grow_is_out_of_order() -> None:
    gate = InputGate()
    gate.refusal(frame(5, picture(0)))
    assert gate.refusal(frame(5, picture(1))) == "out of order"


def test_a_cloudless_sky_that_repeats_is_not_torn() -> None:
    first, second = picture(0), picture(1)
    first[:24] = second[:24] = (90, 140, 220)
    gate = InputGate()
    gate.refusal(frame(0, first))
    assert gate.refusal(frame(1, second)) == ""


def test_a_moonless_street_with_sensor_noise_passes() -> None:
    rng = np.random.default_rng(0)
    dark = np.clip(rng.normal(6, 4, (2, 48, 64, 3)), 0, 255).astype(np.uint8)
    gate = InputGate()
    assert [gate.refusal(frame(index, dark[index])) for index in range(2)] == ["", ""]
