import colorsys

import pytest
import torch

from replay import colour


def random_pixels(num: int = 64) -> torch.Tensor:
    pixels = torch.rand(num, 3, generator=torch.Generator().manual_seed(0))
    pixels[0] = 0.0
    pixels[1] = 1.0
    pixels[2] = 0.5
    return pixels


@pytest.mark.parametrize("turns", [-0.4, -0.1, 0.0, 0.05, 0.5])
def test_hue_rotates_as_in_hsv(turns: float) -> None:
    pixels = random_pixels()
    expected = []
    for red, green, blue in pixels.tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb((hue + turns) % 1.0, saturation, value))
    torch.testing.assert_close(colour.adjust_hue(pixels, turns), torch.tensor(expected), atol=2e-5, rtol=0)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5, 9.0])
def test_saturation_scales_as_in_hsv(factor: float) -> None:
    pixels = random_pixels()
    expected = []
    for red, green, blue in pixels.tolist():
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        expected.append(colorsys.hsv_to_rgb(hue, min(1.0, saturation * factor), value))
    torch.testing.assert_close(colour.adjust_saturation(pixels, factor), torch.tensor(expected), atol=2e-5, rtol=0)


def test_brightness_and_contrast_clip() -> None:
    image = torch.tensor([[[0.1, 0.5, 0.9]]])
    assert colour.adjust_brightness(image, 0.2).flatten().tolist() == pytest.approx([0.3, 0.7, 1.0])
    assert colour.adjust_contrast(image, 1.5).flatten().tolist() == pytest.approx([0.15, 0.75, 1.0])


def test_contrast_about_the_mean_leaves_flat_images_alone() -> None:
    flat = torch.full((2, 2, 3), 0.3)
    torch.testing.assert_close(colour.adjust_contrast_about_mean(flat, 1.7), flat)
    halves = torch.tensor([[[0.2] * 3, [0.6] * 3]])
    assert colour.adjust_contrast_about_mean(halves, 0.5)[0, :, 0].tolist() == pytest.approx([0.3, 0.5])
