"""ShiftMonitor on pictures whose statistics are known."""

import numpy as np
import pytest

from runtime.events import ShiftEvent
from runtime.shift.appearance import appearance
from runtime.shift.calibration import SourceAppearance, calibrate
from runtime.shift.jumps import JumpWatch
from runtime.shift.monitor import ShiftMonitor
from runtime.state import flatten, unflatten
from streams.frame import Frame
from tests.fakes import make_prediction

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


def monitor_of(source: SourceAppearance) -> ShiftMonitor:
    return ShiftMonitor(JumpWatch(source))


def events_of(monitor: ShiftMonitor, veils: list[float], seed: int = 1) -> list[ShiftEvent]:
    rng = np.random.default_rng(seed)
    found = []
    for index, veil in enumerate(veils):
        frame = Frame(index=index, captured_at_s=0.0, image_HWC=picture(rng, veil=veil), domain=f"veil_{veil}")
        _, event = monitor.update(make_prediction(frame), at_s=float(index))
        if event is not None:
            found.append(event)
    return found


def test_an_unchanged_source_raises_no_alarm(source: SourceAppearance) -> None:
    for seed in range(5):
        assert events_of(monitor_of(source), [0.0] * 100, seed=seed + 10) == []


def test_a_jump_is_found_soon_and_so_is_the_return(source: SourceAppearance) -> None:
    found = events_of(monitor_of(source), [0.0] * 40 + [0.6] * 40 + [0.0] * 60)
    assert [event.kind for event in found if event.kind != "change"] == ["away", "return"]
    away, back = (event for event in found if event.kind != "change")
    assert 40 <= away.frame_index < 50 and away.true_domain == "veil_0.6"
    assert 80 <= back.frame_index < 110


def test_a_stream_that_starts_shifted_is_away_at_once(source: SourceAppearance) -> None:
    found = events_of(monitor_of(source), [0.6] * 30)
    assert found[0].kind == "away" and found[0].frame_index <= 5


def test_moving_between_shifted_domains_is_a_change(source: SourceAppearance) -> None:
    found = events_of(monitor_of(source), [0.3] * 40 + [0.8] * 40)
    assert found[0].kind == "away"
    assert any(event.kind == "change" and 40 <= event.frame_index < 50 for event in found)


def test_one_odd_frame_is_not_a_shift(source: SourceAppearance) -> None:
    assert events_of(monitor_of(source), [0.0] * 30 + [0.5] + [0.0] * 30) == []


def test_a_slow_ramp_is_found(source: SourceAppearance) -> None:
    found = events_of(monitor_of(source), [0.005 * step for step in range(140)])
    assert found and found[0].kind == "away"


def test_a_monitor_goes_on_from_its_state_bit_for_bit(source: SourceAppearance) -> None:
    veils = [0.0] * 20 + [0.4] * 17 + [0.8] * 12 + [0.0] * 20
    rng = np.random.default_rng(4)
    frames = [Frame(index, 0.0, picture(rng, veil=veil)) for index, veil in enumerate(veils)]
    whole = monitor_of(source)
    expected = [whole.update(make_prediction(frame), at_s=0.0) for frame in frames]
    for cut in (0, 5, 21, 23, 38, 40, 50, 52):
        first, second = monitor_of(source), monitor_of(source)
        found = [first.update(make_prediction(frame), at_s=0.0) for frame in frames[:cut]]
        second.load_state(unflatten(*flatten(first.state())))
        found += [second.update(make_prediction(frame), at_s=0.0) for frame in frames[cut:]]
        assert found == expected


def test_the_score_is_the_distance_of_smoothed_medians_over_the_threshold(source: SourceAppearance) -> None:
    rng = np.random.default_rng(5)
    frames = [Frame(index, 0.0, picture(rng, veil=0.1)) for index in range(6)]
    looks_NF = np.stack([appearance(frame.image_HWC) for frame in [frames[0], frames[0], *frames]])
    monitor, smoothed_F = ShiftMonitor(JumpWatch(source), smoothing=0.5), None
    for index, frame in enumerate(frames):
        looks_F = np.sort(looks_NF[index : index + 3], axis=0)[1]  # median of three
        smoothed_F = looks_F if smoothed_F is None else 0.5 * smoothed_F + 0.5 * looks_F
        score, _ = monitor.update(make_prediction(frame), at_s=0.0)
        assert score.score == pytest.approx(source.distance(smoothed_F) / source.threshold)
    assert monitor.smoothed_F == pytest.approx(smoothed_F)
