"""ShiftMonitor on pictures whose statistics are known."""

import numpy as np
import pytest

from runtime.events import ShiftEvent
from runtime.shift.appearance import NUM_FEATURES, appearance
from runtime.shift.calibration import SourceAppearance, calibrate
from runtime.shift.monitor import ShiftMonitor
from streams.frame import Frame

SIZE = (32, 64)


def picture(rng: np.random.Generator, *, veil: float = 0.0) -> np.ndarray:
    """Random coarse texture; `veil` in [0, 1] washes it out towards white, as fog does."""
    coarse = rng.integers(0, 256, (8, 16, 3)).repeat(4, 0).repeat(4, 1)
    noisy = coarse + rng.normal(0, 4, (*SIZE, 3))
    return np.clip((1 - veil) * noisy + veil * 230, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def source() -> SourceAppearance:
    rng = np.random.default_rng(0)
    return calibrate(np.stack([appearance(picture(rng)) for _ in range(120)]), quantile=0.95)


def events_of(monitor: ShiftMonitor, veils: list[float], seed: int = 1) -> list[ShiftEvent]:
    rng = np.random.default_rng(seed)
    found = []
    for index, veil in enumerate(veils):
        frame = Frame(index=index, captured_at_s=0.0, image_HWC=picture(rng, veil=veil), domain=f"veil_{veil}")
        _, event = monitor.update(frame, at_s=float(index))
        if event is not None:
            found.append(event)
    return found


def test_features_have_their_documented_length() -> None:
    assert appearance(picture(np.random.default_rng(0))).shape == (NUM_FEATURES,)


def test_an_unchanged_source_raises_no_alarm(source: SourceAppearance) -> None:
    for seed in range(5):
        assert events_of(ShiftMonitor(source), [0.0] * 100, seed=seed + 10) == []


def test_a_jump_is_found_soon_and_so_is_the_return(source: SourceAppearance) -> None:
    found = events_of(ShiftMonitor(source), [0.0] * 40 + [0.6] * 40 + [0.0] * 60)
    assert [event.kind for event in found if event.kind != "change"] == ["away", "return"]
    away, back = (event for event in found if event.kind != "change")
    assert 40 <= away.frame_index < 50 and away.true_domain == "veil_0.6"
    assert 80 <= back.frame_index < 110


def test_a_stream_that_starts_shifted_is_away_at_once(source: SourceAppearance) -> None:
    found = events_of(ShiftMonitor(source), [0.6] * 30)
    assert found[0].kind == "away" and found[0].frame_index <= 5


def test_moving_between_shifted_domains_is_a_change(source: SourceAppearance) -> None:
    found = events_of(ShiftMonitor(source), [0.3] * 40 + [0.8] * 40)
    assert found[0].kind == "away"
    assert any(event.kind == "change" and 40 <= event.frame_index < 50 for event in found)


def test_one_odd_frame_is_not_a_shift(source: SourceAppearance) -> None:
    assert events_of(ShiftMonitor(source), [0.0] * 30 + [0.5] + [0.0] * 30) == []


def test_a_slow_ramp_is_found(source: SourceAppearance) -> None:
    found = events_of(ShiftMonitor(source), [0.005 * step for step in range(140)])
    assert found and found[0].kind == "away"
