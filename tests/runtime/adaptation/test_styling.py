"""Styling against closed forms: statistics of bands, roughness of known signals, what is left alone."""

# B batch, H height, W width, C channels

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.augment import Window
from runtime.adaptation.grain_gauge import GREY
from runtime.adaptation.styling import (
    BLUR_SIGMAS,
    NUM_BANDS,
    Styler,
    blurred,
    roughness,
    to_opponent,
    to_rgb,
)

HEIGHT, WIDTH = 64, 128
WHOLE = Window(0, 0, HEIGHT, WIDTH)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(mean, deviation, *, seed=0, num=1):
    rng = np.random.default_rng(seed)
    return torch.as_tensor(
        np.clip(rng.normal(mean, deviation, (num, HEIGHT, WIDTH, 3)), 0, 255).round().astype(np.uint8)
    )


def waves(mean, amplitude, *, period=32):
    """Level `mean` plus a horizontal sine: deviation amplitude / sqrt(2), roughness 1 - cos(2 pi / period)."""
    line_W = mean + amplitude * np.sin(2 * np.pi * np.arange(WIDTH) / period)
    return torch.as_tensor(np.broadcast_to(line_W[None, :, None], (HEIGHT, WIDTH, 3)).round().astype(np.uint8).copy())


NOWHERE = torch.full((HEIGHT, WIDTH), 2, dtype=torch.uint8)  # all upright, cut off by the lower edge: one place


def styler_of(source_NHWC, *, seed=0):
    return Styler(source_NHWC, NOWHERE.expand(len(source_NHWC), -1, -1), generator=generator(seed))


def moments(image_HWC):
    """Mean and deviation of each opponent colour, (2, C)."""
    pixels_CX = to_opponent(image_HWC[None])[0].flatten(1)
    return torch.stack([pixels_CX.mean(1), pixels_CX.std(1)])


def test_opponent_colours_are_a_rotation_and_back() -> None:
    image_BHWC = noise(128, 40, num=2)
    opponent_BCHW = to_opponent(image_BHWC)
    assert torch.allclose(opponent_BCHW.square().sum(1), image_BHWC.float().square().sum(-1), rtol=1e-4)
    assert torch.equal(to_rgb(opponent_BCHW), image_BHWC)
    grey = to_opponent(torch.full((1, 2, 2, 3), 100, dtype=torch.uint8))
    assert torch.allclose(grey[0, :, 0, 0], torch.tensor([100 * 3**0.5, 0.0, 0.0]), atol=1e-3)


@pytest.mark.parametrize("period", [8, 16, 32])
def test_roughness_of_a_sine_is_one_minus_the_correlation_of_neighbours(period) -> None:
    found_S = roughness(to_opponent(waves(128, 100, period=period)[None])[:, GREY])
    assert found_S.tolist() == pytest.approx([1 - np.cos(2 * np.pi / period)] * NUM_BANDS, rel=0.02)


def test_roughness_of_white_noise_is_one() -> None:
    found_S = roughness(to_opponent(noise(128, 30, num=8))[:, GREY])
    assert found_S.tolist() == pytest.approx([0.985] * NUM_BANDS, abs=0.05)


@settings(deadline=None, max_examples=25)
@given(st.integers(90, 165), st.integers(5, 25), st.integers(0, 10**6))  # three deviations clear of 0 and 255
def test_the_styled_sample_has_the_streams_mean_and_deviation(mean, deviation, seed) -> None:
    source_BHWC = noise(128, 20, seed=1)
    target_HWC = noise(mean, deviation, seed=seed)[0]
    styler = styler_of(source_BHWC)
    styled_HWC = styler.apply(source_BHWC[0], NOWHERE, styler.read(target_HWC, NOWHERE), WHOLE)
    wanted, found = moments(target_HWC), moments(styled_HWC)
    assert torch.allclose(found[0], wanted[0], atol=2.5)
    assert torch.allclose(found[1], wanted[1], rtol=0.12, atol=0.5)


def test_the_source_itself_is_left_almost_as_it_is() -> None:
    source_HWC = waves(120, 60)
    styler = styler_of(source_HWC[None])
    style = styler.read(source_HWC, NOWHERE)
    assert style.blur_sigma == 0.0 and style.grain.streak_pixels == 1 and float(style.grain.variance_C.max()) < 1e-6
    styled_HWC = styler.apply(source_HWC, NOWHERE, style, WHOLE)
    assert int((styled_HWC.int() - source_HWC.int()).abs().max()) <= 1


def test_sky_and_street_take_their_own_colours() -> None:
    label_HW = NOWHERE.clone()
    label_HW[:20] = 10
    source_HWC, target_HWC = (torch.full((HEIGHT, WIDTH, 3), level, dtype=torch.uint8) for level in (90, 200))
    target_HWC[:20] = torch.tensor([20, 30, 60], dtype=torch.uint8)
    styler = Styler(source_HWC[None], label_HW[None], generator=generator())
    styled_HWC = styler.apply(source_HWC, label_HW, styler.read(target_HWC, label_HW), WHOLE)
    assert int((styled_HWC.int() - target_HWC.int()).abs().max()) <= 2


def test_the_look_of_the_stream_is_that_of_some_frames_and_goes_on_from_its_state() -> None:
    source_BHWC, flat = noise(128, 20, seed=1), NOWHERE
    styler, other = styler_of(source_BHWC), styler_of(source_BHWC)
    levels = []
    for _ in range(3):
        style = styler.read(noise(60, 10)[0], flat)
    for _ in range(40):
        style = styler.read(noise(160, 10)[0], flat)
        levels.append(float(style.recolouring.to_CP[GREY, 7]) / 3**0.5)
    assert 60 < levels[0] < 110 and levels == sorted(levels) and levels[-1] == pytest.approx(160, abs=2)
    other.load_state(styler.state())
    again, once = (each.read(noise(90, 10)[0], flat).recolouring.to_CP for each in (styler, other))
    assert torch.equal(again, once)


def test_noise_in_the_frame_becomes_grain_and_no_contrast() -> None:
    """Waves keep their amplitude under noise of three times their variance, which is drawn on top."""
    source_HWC = waves(128, 25)
    rng = np.random.default_rng(0)
    target_HWC = torch.as_tensor(
        np.clip(source_HWC.numpy() + rng.normal(0, 30, (HEIGHT, WIDTH, 1)), 0, 255).round().astype(np.uint8)
    )
    styler = styler_of(source_HWC[None])
    style = styler.read(target_HWC, NOWHERE)
    assert style.blur_sigma == 0.0 and style.grain.streak_pixels == 1
    assert float(style.grain.variance_C[GREY]) == pytest.approx(3 * 900, rel=0.35)
    assert float(style.recolouring.gain_CP[GREY].min()) < 1.5
    styled_HWC = styler.apply(source_HWC, NOWHERE, style, WHOLE)
    assert float(moments(styled_HWC)[1, GREY]) == pytest.approx(float(moments(target_HWC)[1, GREY]), rel=0.1)


def test_grain_is_drawn_from_the_generator() -> None:
    source_HWC, target_HWC = waves(128, 60), noise(128, 40)[0]
    styled = []
    for seed in (0, 0, 1):
        styler = styler_of(source_HWC[None], seed=seed)
        styled.append(styler.apply(source_HWC, NOWHERE, styler.read(target_HWC, NOWHERE), WHOLE))
    assert torch.equal(styled[0], styled[1]) and not torch.equal(styled[0], styled[2])


def test_a_frame_out_of_focus_blurs_the_source() -> None:
    rng = np.random.default_rng(0)
    rough_HWC = torch.as_tensor(rng.integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)).repeat(1, 1, 3)
    sharp_BCHW = blurred(rough_HWC.permute(2, 0, 1)[None].float(), 0.6)
    source_BHWC = sharp_BCHW.permute(0, 2, 3, 1).round().to(torch.uint8)
    styler = styler_of(source_BHWC)
    for sigma in (1.3, 2.5):
        soft_BCHW = blurred(source_BHWC.permute(0, 3, 1, 2).float(), sigma)
        style = styler.read(soft_BCHW[0].permute(1, 2, 0).round().to(torch.uint8), NOWHERE)
        assert style.blur_sigma == sigma and sigma in BLUR_SIGMAS
    assert styler.read(source_BHWC[0], NOWHERE).blur_sigma == 0.0


def test_blur_keeps_the_mean_and_a_flat_image() -> None:
    flat_BCHW = torch.full((1, 3, 16, 16), 77.0)
    assert torch.allclose(blurred(flat_BCHW, 1.8), flat_BCHW, atol=1e-3)
    assert blurred(flat_BCHW, 0.0) is flat_BCHW


def test_shape_and_type_are_kept_and_nothing_is_written_into() -> None:
    source_HWC, target_HWC = noise(128, 20)[0], noise(40, 10, seed=2)[0]
    before = source_HWC.clone(), target_HWC.clone()
    styler = styler_of(source_HWC[None])
    styled_HWC = styler.apply(source_HWC, NOWHERE, styler.read(target_HWC, NOWHERE), WHOLE)
    assert styled_HWC.shape == source_HWC.shape and styled_HWC.dtype == torch.uint8
    assert torch.equal(source_HWC, before[0]) and torch.equal(target_HWC, before[1])


def test_a_part_is_styled_as_it_would_be_within_the_whole() -> None:
    label_HW = NOWHERE.clone()
    label_HW[:20], label_HW[40:, 30:] = 10, 0
    source_HWC, target_HWC = waves(120, 60), waves(70, 25)
    styler = Styler(source_HWC[None], label_HW[None], generator=generator())
    style = styler.read(target_HWC, label_HW)
    whole_HWC = styler.apply(source_HWC, label_HW, style, WHOLE)
    part = Window(top=10, left=24, height=32, width=64)
    part_HWC = styler.apply(source_HWC, label_HW, style, part)
    assert int((part_HWC.int() - whole_HWC[part.rows, part.columns].int()).abs().max()) <= 2  # rounding, also as grain
