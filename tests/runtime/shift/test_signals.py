"""Signals against closed forms, and what a user's own one needs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.zoo import build_model
from runtime.shift.appearance import appearance
from runtime.shift.calibration import calibrate
from runtime.shift.class_shares import jensen_shannon_distance, shares_of
from runtime.shift.frequency import fine_share_log
from runtime.shift.hysteresis import Hysteresis
from runtime.shift.light_distance import LightDistance, fitted_light_decoder
from runtime.shift.readings import Readings, SourceRange
from runtime.shift.sight import Sight
from runtime.shift.signals import SIGNALS, SourceViews
from runtime.shift.watch import SignalWatch
from runtime.state import flatten, restore, state_of, unflatten
from streams.frame import Frame
from tests.fakes import make_prediction

SIZE = (32, 64)


def picture(rng, *, grain=6.0, light=1.0, patch=4):
    coarse = rng.integers(20, 200, (32 // patch, 64 // patch, 3)).repeat(patch, 0).repeat(patch, 1)
    return np.clip((coarse + rng.normal(0, grain, (*SIZE, 3))) * light, 0, 255).astype(np.uint8)


def answered(image_HWC):
    """A model that says class 1 where it is bright and is as sure as the picture is bright."""
    bright_HW = image_HWC.mean(-1) > 90
    prediction = make_prediction(Frame(0, 0.0, image_HWC))
    return replace(prediction, labels_HW=bright_HW.astype(np.uint8), confidence=float(image_HWC.mean() / 255))


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    images_NHWC = np.stack([picture(rng) for _ in range(40)])
    labels_NHW = (images_NHWC.mean(-1) > 90).astype(np.uint8)
    source = calibrate(np.stack([appearance(image) for image in images_NHWC]), quantile=0.9)
    torch.manual_seed(0)
    frozen = build_model("segformer_b0", num_classes=3).eval().requires_grad_(False)
    decoder = fitted_light_decoder(frozen, torch.from_numpy(images_NHWC), torch.from_numpy(labels_NHW), num_steps=60)
    light = LightDistance(frozen, decoder)
    return SourceViews(images_NHWC, labels_NHW, source, answer=answered, num_classes=3, light=lambda: light)


def sight(image_HWC):
    looks_F = appearance(image_HWC)
    return Sight(answered(image_HWC), looks_F, looks_F)


@pytest.mark.parametrize("name", SIGNALS)
def test_most_of_the_source_lies_within_its_edge(name, views):
    rng = np.random.default_rng(1)
    signal = SIGNALS[name].build(views)
    fresh = state_of(signal)

    def first_reading():
        restore(signal, fresh)
        return signal.read(sight(picture(rng)))

    values = [first_reading() for _ in range(60)]
    assert np.mean(np.abs(values) > 1) < 0.35
    assert np.median(np.abs(values)) < 0.95


@pytest.mark.parametrize(
    ("name", "change", "is_above"),
    [
        ("style", {"light": 0.3}, True),
        ("frequency", {"grain": 40.0}, True),
        ("frequency", {"grain": 0.0, "patch": 16}, False),
        ("confidence", {"light": 0.3}, False),
        ("classes", {"light": 0.3}, True),
        ("light", {"grain": 40.0}, True),
    ],
)
def test_a_shift_moves_the_signal_over_its_edge(name, change, is_above, views):
    signal = SIGNALS[name].build(views)
    rng = np.random.default_rng(2)
    values = [signal.read(sight(picture(rng, **change))) for _ in range(10)]
    assert values[-1] > 1 if is_above else values[-1] < -1


def test_white_noise_has_as_much_of_the_fine_as_its_area_in_the_spectrum():
    """The share of the square of frequencies outside the circle of a quarter: 1 - pi / 16."""
    rng = np.random.default_rng(3)
    share = np.exp(fine_share_log(rng.normal(128, 20, (256, 256, 1)).repeat(3, -1).clip(0, 255).astype(np.uint8)))
    assert share == pytest.approx(1 - np.pi / 16, abs=0.02)


@pytest.mark.parametrize("cycles", [4, 24])
def test_a_wave_is_fine_or_coarse_by_its_frequency(cycles):
    """On tiles of 64 pixels: 4 or 24 cycles are a sixteenth and three eighths of a cycle per pixel."""
    wave_W = 128 + 60 * np.sin(2 * np.pi * cycles * np.arange(128) / 64)
    image_HWC = np.broadcast_to(wave_W[None, :, None], (64, 128, 3)).round().astype(np.uint8)
    share = np.exp(fine_share_log(image_HWC))
    assert share > 0.99 if cycles == 24 else share < 0.01


def test_jensen_shannon_is_the_distance_of_its_definition():
    """sqrt(H(m) - (H(p) + H(q)) / 2) in bits, by entropies instead of divergences."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        first_K, second_K = (shares_of(rng.integers(0, 9, 7).astype(float)) for _ in range(2))
        entropies = [
            -sum(share * np.log2(share) for share in shares if share > 0)
            for shares in (0.5 * (first_K + second_K), first_K, second_K)
        ]
        expected = np.sqrt(max(entropies[0] - 0.5 * (entropies[1] + entropies[2]), 0.0))
        assert jensen_shannon_distance(first_K, second_K) == pytest.approx(expected, abs=1e-7)
    assert jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1.0)
    assert jensen_shannon_distance(first_K, first_K) == 0.0
    assert shares_of(np.zeros(4)) == pytest.approx(0.25)


def test_readings_are_scaled_by_quantiles_and_smoothed():
    source = SourceRange.of([float(value) for value in range(101)])
    assert (source.centre, source.lower, source.upper) == (50.0, pytest.approx(5.0), pytest.approx(95.0))
    signal = Readings(lambda sight: sight.prediction.confidence, source)
    values = [signal.read(Sight(replace(make_prediction(), confidence=c), None, None)) for c in (50.0, 230.0, 230.0)]
    assert values == pytest.approx([0.0, 1.0, 1.75])  # 50, then a quarter of the way to 230 each time
    distances = SourceRange.of_distances([float(value) for value in range(101)])
    assert distances.scaled(90.0) == pytest.approx(1.0) and distances.scaled(0.0) == 0.0
    with pytest.raises(ValueError, match="at least 16"):
        SourceRange.of([1.0] * 15)


def test_a_watch_of_a_signal_goes_on_from_its_state(views):
    rng = np.random.default_rng(5)
    sights = [sight(picture(rng, light=light)) for light in [1.0] * 10 + [0.3] * 10 + [1.0] * 20]

    def watch():
        return SignalWatch(SIGNALS["confidence"].build(views), Hysteresis())

    whole, first, second = watch(), watch(), watch()
    expected = [whole.look(each) for each in sights]
    found = [first.look(each) for each in sights[:14]]
    second.load_state(unflatten(*flatten(first.state())))
    assert found + [second.look(each) for each in sights[14:]] == expected
    assert [kind for _, kind in expected if kind] == ["away", "return"]
    assert not second.is_shifted
