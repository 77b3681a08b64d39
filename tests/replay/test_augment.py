import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.augment import (
    PAD_RGB,
    CropRule,
    Wanted,
    gaussian_blur,
    photometric_distortion,
    random_crop,
    random_flip,
    share_of,
    strong_augmentation,
)


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coded_sample(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every pixel's label is its column divided by 4, every pixel's colour 10 times its label."""
    label = (torch.arange(width) // 4).to(torch.uint8).expand(height, width).contiguous()
    return (label * 10)[..., None].expand(height, width, 3).contiguous(), label


@given(
    sample_HW=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    crop_HW=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    scales=st.tuples(st.floats(0.3, 1.0), st.floats(1.0, 3.0)),
    seed=st.integers(0, 999),
)
@settings(max_examples=80, deadline=None)
def test_a_crop_has_the_asked_size_whatever_the_sample(
    sample_HW: tuple[int, int], crop_HW: tuple[int, int], scales: tuple[float, float], seed: int
) -> None:
    image, label = coded_sample(*sample_HW)
    rule = CropRule(crop_HW, scales, max_class_share=1.0)
    crop, crop_label = random_crop(image, label, rule=rule, generator=generator_of(seed))
    assert crop.shape == (*crop_HW, 3) and crop.dtype == torch.uint8
    assert crop_label.shape == crop_HW and crop_label.dtype == torch.uint8
    padded = crop_label == 255
    assert (crop[padded] == torch.tensor(PAD_RGB, dtype=torch.uint8)).all()
    assert set(crop_label[~padded].tolist()) <= set(label.flatten().tolist())


@pytest.mark.parametrize("seed", range(8))
def test_image_and_label_stay_aligned(seed: int) -> None:
    image, label = coded_sample(40, 80)
    rule = CropRule((32, 32), (2.0, 4.0), max_class_share=1.0)
    crop, crop_label = random_crop(image, label, rule=rule, generator=generator_of(seed))
    # Away from class borders the interpolated colour is the label's own; borders are a minority of columns.
    agrees = (crop[..., 0].int() - crop_label.int() * 10).abs() <= 1
    assert agrees.float().mean() > 0.6


def test_without_scaling_a_crop_is_a_part_of_the_sample() -> None:
    image, label = coded_sample(20, 40)
    image = torch.randint(0, 256, image.shape, dtype=torch.uint8, generator=generator_of(0))
    rule = CropRule((8, 8), (1.0, 1.0), max_class_share=1.0)
    crop, _ = random_crop(image, label, rule=rule, generator=generator_of(3))
    windows = image.unfold(0, 8, 1).unfold(1, 8, 1).permute(0, 1, 3, 4, 2)
    assert (windows == crop).flatten(2).all(dim=2).any()


def test_monotonous_crops_are_refused_while_others_exist() -> None:
    label = torch.zeros(16, 64, dtype=torch.uint8)
    label[:, 32:] = 1
    image = torch.zeros(16, 64, 3, dtype=torch.uint8)
    rule = CropRule((16, 32), (1.0, 1.0), max_class_share=0.75)
    shares = []
    for seed in range(40):
        _, crop = random_crop(image, label, rule=rule, generator=generator_of(seed))
        shares.append(float((crop == 0).float().mean()))
    assert sum(0.25 < share < 0.75 for share in shares) >= 38


def test_the_wanted_class_is_in_the_crop_where_it_can_be() -> None:
    label = torch.zeros(16, 128, dtype=torch.uint8)
    label[:, 60:64] = 12
    image = torch.zeros(16, 128, 3, dtype=torch.uint8)
    rule = CropRule((16, 48), (1.0, 1.0), max_class_share=1.0)
    wanted = Wanted(12, 64)
    hits = 0
    for seed in range(40):
        _, crop = random_crop(image, label, rule=rule, generator=generator_of(seed), wanted=wanted)
        hits += int((crop == 12).sum()) >= 64
    assert hits >= 39


def test_flips_happen_about_half_the_time_and_to_both() -> None:
    image, label = coded_sample(2, 8)
    generator = generator_of(0)
    flipped = 0
    for _ in range(200):
        new_image, new_label = random_flip(image, label, generator=generator)
        assert (new_image[..., 0] == new_label * 10).all()
        flipped += int(new_label[0, 0]) == 1
    assert 75 < flipped < 125


def test_one_seed_gives_one_augmentation() -> None:
    image = torch.randint(0, 256, (12, 16, 3), dtype=torch.uint8, generator=generator_of(9))
    first = photometric_distortion(image, generator=generator_of(4))
    assert torch.equal(first, photometric_distortion(image, generator=generator_of(4)))
    assert not torch.equal(first, photometric_distortion(image, generator=generator_of(5)))
    strong = strong_augmentation(image[None], generator=generator_of(4))
    assert torch.equal(strong, strong_augmentation(image[None], generator=generator_of(4)))


def test_photometric_distortion_stays_within_its_ranges() -> None:
    grey = torch.full((4, 4, 3), 100, dtype=torch.uint8)
    values = [int(photometric_distortion(grey, generator=generator_of(seed))[0, 0, 0]) for seed in range(300)]
    # Extremes are (100 - 32) * 0.5 and (100 + 32) * 1.5; a quarter of the draws changes nothing on grey.
    assert 34 <= min(values) < 60 and 150 < max(values) <= 198
    assert 40 < values.count(100) < 120
    assert torch.equal(photometric_distortion(grey, strength=0.0, generator=generator_of(0)), grey)


def test_blur_keeps_flat_images_and_has_the_asked_width() -> None:
    flat = torch.full((1, 12, 12, 3), 0.4)
    torch.testing.assert_close(gaussian_blur(flat, sigma=1.0), flat)
    impulse = torch.zeros(1, 21, 21, 3)
    impulse[:, 10, 10] = 1.0
    spread = gaussian_blur(impulse, sigma=1.1)[0, :, :, 0]
    variance = (spread.sum(dim=1) * (torch.arange(21) - 10) ** 2).sum()
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(variance) == pytest.approx(1.1**2, abs=0.02)


def test_strong_augmentation_may_do_nothing_and_coins_fall_as_told() -> None:
    images = torch.randint(0, 256, (2, 12, 12, 3), dtype=torch.uint8, generator=generator_of(0))
    untouched = strong_augmentation(images, jitter_probability=0.0, blur_probability=0.0, generator=generator_of(0))
    assert torch.equal(untouched, images)
    changed = sum(not torch.equal(strong_augmentation(images, generator=generator_of(s)), images) for s in range(60))
    # 1 - 0.2 * 0.5 of all draws change something.
    assert 46 <= changed <= 60


@pytest.mark.parametrize(
    ("size_HW", "scales", "share"),
    [((0, 4), (1.0, 1.0), 0.75), ((4, 4), (2.0, 1.0), 0.75), ((4, 4), (0.0, 1.0), 0.75), ((4, 4), (1.0, 1.0), 0.0)],
)
def test_impossible_crop_rules_are_refused(size_HW: tuple[int, int], scales: tuple[float, float], share: float) -> None:
    with pytest.raises(ValueError, match=r"crop\."):
        CropRule(size_HW, scales, share)


@pytest.mark.parametrize(
    ("size_HW", "share", "shrunk_HW"),
    [((256, 512), 1.0, (256, 512)), ((256, 512), 0.75, (192, 384)), ((180, 240), 0.5, (96, 128)),
     ((180, 240), 1.0, (180, 240)), ((32, 64), 0.1, (32, 32)), ((20, 64), 0.5, (20, 32))],
)  # fmt: skip
def test_a_share_of_a_size_is_in_multiples_of_32_and_fits(size_HW, share, shrunk_HW) -> None:
    assert share_of(size_HW, share) == shrunk_HW
