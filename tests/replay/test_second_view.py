"""Second views: known warps land where geometry says, answers follow images, chance follows the generator."""

import math

import pytest
import torch

from replay.second_view import Warp, random_warp, recoloured, roughened


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)


def test_no_warp_changes_nothing_and_a_mirror_mirrors() -> None:
    assert torch.allclose(Warp().apply(ramp()), ramp(), atol=1e-4)
    assert torch.allclose(Warp(is_mirrored=True).apply(ramp()), ramp().flip(3), atol=1e-4)


def test_half_a_turn_is_both_mirrors_and_a_quarter_turn_keeps_the_aspect() -> None:
    assert torch.allclose(Warp(radians=math.pi).apply(ramp()), ramp().flip(2, 3), atol=1e-3)
    square = torch.zeros(1, 1, 33, 65)
    square[..., 12:21, 28:37] = 1.0  # about the centre: turned by a right angle it lies where it lay
    turned = Warp(radians=math.pi / 2).apply(square)
    assert torch.allclose(turned[..., 16:49], square[..., 16:49], atol=1e-3)  # beyond are its reflections


def test_shift_is_in_sides_and_what_comes_in_is_reflected() -> None:
    shifted = Warp(shift_xy=(0.25, 0.0)).apply(ramp())
    assert torch.allclose(shifted[..., 3:], ramp()[..., :-3], atol=1e-4)
    assert torch.allclose(shifted[..., :3], ramp()[..., :3].flip(3), atol=1e-4)


def test_zoom_magnifies() -> None:
    square = torch.zeros(1, 1, 40, 40)
    square[..., 15:25, 15:25] = 1.0
    assert float(Warp(zoom=1.1).apply(square).sum()) == pytest.approx(100 * 1.1**2, rel=0.02)


def test_answers_follow_the_image_at_their_own_size() -> None:
    """A blob stays on its answer, given at a quarter of the size."""
    warp = Warp(radians=0.2, zoom=1.05, shift_xy=(0.1, -0.05), is_mirrored=True)
    image, answers = torch.zeros(1, 1, 64, 128), torch.zeros(1, 1, 16, 32)
    image[..., 24:32, 72:80] = 1.0
    answers[..., 6:8, 18:20] = 1.0

    def centre(x: torch.Tensor) -> tuple[float, float]:
        rows, columns = torch.meshgrid(*[(torch.arange(side) + 0.5) / side for side in x.shape[2:]], indexing="ij")
        return float((x[0, 0] * rows).sum() / x.sum()), float((x[0, 0] * columns).sum() / x.sum())

    assert centre(warp.apply(image)) == pytest.approx(centre(warp.apply(answers)), abs=0.01)


def test_probabilities_stay_probabilities() -> None:
    p_BKHW = torch.rand(2, 4, 9, 7, generator=generator()).softmax(dim=1)
    warped = random_warp(generator()).apply(p_BKHW)
    assert torch.allclose(warped.sum(dim=1), torch.ones(2, 9, 7), atol=1e-5)


def test_draws_stay_in_their_ranges() -> None:
    chance = generator()
    warps = [random_warp(chance) for _ in range(300)]
    degrees = [math.degrees(warp.radians) for warp in warps]
    assert -15 <= min(degrees) < -12 and 12 < max(degrees) <= 15
    zooms = [warp.zoom for warp in warps]
    assert 0.9 <= min(zooms) < 0.92 and 1.08 < max(zooms) <= 1.1
    assert max(abs(shift) for warp in warps for shift in warp.shift_xy) == pytest.approx(0.125, abs=0.005)
    assert 0.4 < sum(warp.is_mirrored for warp in warps) / 300 < 0.6


def test_colours_change_within_bounds_and_repeat() -> None:
    images = torch.randint(0, 256, (2, 8, 10, 3), dtype=torch.uint8, generator=generator())
    kept = images.clone()
    for seed in range(30):
        views = recoloured(images, generator(seed))
        assert views.dtype == torch.float32 and float(views.min()) >= 0.0 and float(views.max()) <= 1.0
        assert torch.equal(views, recoloured(images, generator(seed)))
        assert not torch.allclose(views, images / 255.0, atol=1e-3)
    assert torch.equal(images, kept)


def test_roughening_adds_grain_of_its_deviation() -> None:
    grey = torch.full((1, 64, 64, 3), 0.5)
    assert float(roughened(grey, generator()).std()) == pytest.approx(0.005, rel=0.05)
