"""Frames that must not be learned from, and frames that may."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.gate import InputGate
from runtime.label_sets import GATE_REASONS
from streams.frame import Frame

SIZE_HW = (96, 128)


def frame(index: int, image_HWC: np.ndarray) -> Frame:
    return Frame(index=index, captured_at_s=0.0, image_HWC=image_HWC)


def picture(seed: int, *, noise: float = 3.0) -> np.ndarray:
    """Fields of colour as a street has them, all of them other ones for every seed, and a little sensor noise."""
    rng = np.random.default_rng(seed)
    fields = rng.uniform(20, 235, (6, 8, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return noisy(fields, noise, rng)


def noisy(image_HWC: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image_HWC + rng.normal(0, noise, image_HWC.shape)), 0, 255).astype(np.uint8)


def refusals(images: list[np.ndarray]) -> list[str]:
    gate = InputGate()
    return [gate.refusal(frame(index, image_HWC)) for index, image_HWC in enumerate(images)]


def static(seed: int, *, grain: int = 1) -> np.ndarray:
    grains = np.random.default_rng(seed).integers(0, 256, (SIZE_HW[0] // grain, SIZE_HW[1] // grain, 3), dtype=np.uint8)
    return grains.repeat(grain, axis=0).repeat(grain, axis=1)


def covered(level: float, noise: float) -> np.ndarray:
    return noisy(np.full((*SIZE_HW, 3), level), noise, np.random.default_rng(7))


def with_dead_blocks(value: int) -> np.ndarray:
    image_HWC = picture(1)
    image_HWC[50:90, 30:80] = value
    return image_HWC


FAULTS = {
    "all black": (np.zeros((*SIZE_HW, 3), np.uint8), "black"),
    "black with sensor noise": (covered(6, 4), "black"),
    "one colour": (np.full((*SIZE_HW, 3), 127, np.uint8), "flat"),
    "a covered lens by day": (covered(90, 12), "flat"),
    "static": (static(3), "noise"),
    "static in grains of two": (static(3, grain=2), "noise"),
    "the same bytes": (picture(0), "duplicate"),
    "the same picture, coded again": (noisy(picture(0), 0.3, np.random.default_rng(5)), "frozen"),
    "a lower part that stands still": (np.concatenate([picture(1)[:56], picture(0)[56:]]), "torn"),
    "blocks that were NaN": (with_dead_blocks(0), "dead blocks"),
    "blocks of a decoder's green": (with_dead_blocks(135), "dead blocks"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_as_metrics_count_them(name) -> None:
    image_HWC, reason = FAULTS[name]
    assert refusals([picture(0), image_HWC]) == ["", reason]
    assert reason in GATE_REASONS


def test_ordinary_frames_pass() -> None:
    assert refusals([picture(index) for index in range(30)]) == [""] * 30


def test_an_index_that_does_not_grow_is_out_of_order_and_not_remembered() -> None:
    gate = InputGate()
    assert gate.refusal(frame(5, picture(0))) == ""
    assert [gate.refusal(frame(index, picture(1))) for index in (5, 3)] == ["out of order"] * 2
    assert gate.refusal(frame(6, picture(0))) == "duplicate"
    assert gate.refusal(frame(7, picture(1))) == ""


def test_a_cloudless_sky_that_repeats_is_not_torn() -> None:
    first, second = picture(0), picture(1)
    first[:40] = second[:40] = (90, 140, 220)
    assert refusals([first, second]) == ["", ""]


def test_a_car_at_a_red_light_is_learned_from_while_its_sensor_lives() -> None:
    street = picture(0, noise=0)
    rng = np.random.default_rng(0)
    assert refusals([noisy(street, 0.7, rng) for _ in range(20)]) == [""] * 20


def test_a_moonless_street_with_a_lamp_passes_and_without_one_does_not() -> None:
    rng = np.random.default_rng(0)
    dark = [np.full((*SIZE_HW, 3), 5.0) for _ in range(3)]
    assert refusals([noisy(image, 3, rng) for image in dark]) == ["black"] * 3
    for image in dark:
        image[30:46, 40:56] = 60
    assert refusals([noisy(image, 3, rng) for image in dark]) == [""] * 3


def test_crushed_shadows_bars_and_glare_are_not_dead_blocks() -> None:
    shadows, bars, glare = picture(0), picture(1), picture(2)
    fade_W = np.abs(np.arange(128) - 64).clip(16, None) - 16  # soft where the dark begins
    shadows[48:] = np.minimum(shadows[48:], fade_W[:, None] // 2)
    bars[:16] = bars[-16:] = 0
    glare[60:90, 20:90] = 255
    assert refusals([shadows, bars, glare]) == ["", "", ""]


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_pictures_that_come_back_are_looped(noise) -> None:
    rng = np.random.default_rng(0)
    live = [picture(index) for index in range(8)]
    again = [noisy(image, noise, rng) for image in live[2:]]
    assert refusals([*live, *again]) == [""] * 8 + ["looped"] * 6


def test_one_picture_between_live_ones_is_looped_from_its_second_time_on() -> None:
    rng = np.random.default_rng(0)
    repeated = [noisy(picture(99), 2, rng) if index % 2 else picture(index) for index in range(12)]
    assert Counter(refusals(repeated)) == {"": 7, "looped": 5}


def test_a_standing_street_seen_again_after_black_frames_is_no_loop() -> None:
    rng = np.random.default_rng(0)
    street = [noisy(picture(0, noise=0), 2, rng) for _ in range(4)]
    black = np.zeros((*SIZE_HW, 3), np.uint8)
    assert refusals([*street[:2], black, black, *street[2:]]) == ["", "", "black", "black", "", ""]


def test_frames_of_another_size_begin_anew() -> None:
    gate = InputGate()
    sizes = [picture(0), picture(0)[:80], picture(1), picture(0)]
    assert [gate.refusal(frame(index, image)) for index, image in enumerate(sizes)] == ["", "", "", ""]


POOL = [picture(index) for index in range(4)] + [image for image, _ in FAULTS.values()] + [picture(4)[:80]]


@settings(max_examples=30)
@given(
    shown=st.lists(st.tuples(st.integers(0, len(POOL) - 1), st.integers(0, 3)), min_size=1, max_size=25),
    cut=st.integers(0, 25),
)
def test_a_gate_goes_on_from_its_state(shown, cut) -> None:
    """Whatever was shown, a new gate with the old one's state decides as the old one."""
    indices = np.cumsum([gap for _, gap in shown])
    frames = [frame(int(index), POOL[number]) for index, (number, _) in zip(indices, shown, strict=True)]
    gate, heir = InputGate(), InputGate()
    heir.refusal(frame(10**6, picture(50)))  # what it saw before must not matter
    before = [gate.refusal(shot) for shot in frames[:cut]]
    state = gate.state()
    after = [gate.refusal(shot) for shot in frames[cut:]]
    heir.load_state(state)
    assert [heir.refusal(shot) for shot in frames[cut:]] == after
    assert set(before + after) <= {"", *GATE_REASONS}
