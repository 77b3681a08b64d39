"""OpenMMLab's pipeline against closed forms, colorsys, and OpenCV used directly on BGR."""

import colorsys
from collections import Counter

import cv2
import numpy as np
import pytest
import torch

from replay.pool import FilePool, SamplePool
from replay.published import (
    PipelineRule,
    PublishedCrops,
    adjusted,
    distorted,
    is_varied,
    keep_ratio_size,
    padded,
    random_box,
    random_part,
    random_scale,
    with_hue,
    with_saturation,
)
from replay.sampling import SamplingRule
from streams.images import rescale_image, rescale_label

EVERYTHING = SamplingRule(temperature=None)


def generator_of(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size_HW", "scale_HW", "expected_HW"),
    [
        ((1052, 1914), (720, 1280), (704, 1280)),  # GTA5, as DAFormer's 1280 x 720 turns out
        ((1052, 1914), (1440, 2560), (1407, 2560)),  # and HRDA's 2560 x 1440
        ((760, 1280), (760, 1280), (760, 1280)),
        ((1024, 2048), (512, 1024), (512, 1024)),
        ((512, 683), (512, 2048), (512, 683)),  # ADE20K: the short side bounds
        ((683, 512), (512, 2048), (683, 512)),  # also of a portrait
        ((683, 512), (2048, 512), (683, 512)),  # and whichever way round the scale is given
        ((400, 4000), (512, 2048), (205, 2048)),  # the long side bounds; 204.8 is rounded
        ((3, 8), (2, 4), (2, 4)),  # 1.5 is rounded up, and so would 0.5 be
    ],
)
def test_an_image_keeps_its_ratio_within_the_scale(size_HW, scale_HW, expected_HW) -> None:
    assert keep_ratio_size(size_HW, scale_HW) == expected_HW


def test_one_uniform_ratio_multiplies_both_sides_which_are_cut() -> None:
    rule, generator = PipelineRule((512, 2048), (512, 512)), generator_of(0)
    scales = [random_scale(rule, generator) for _ in range(2000)]
    assert all(width // 4 == height for height, width in scales)  # floor(floor(2048 r) / 4) = floor(512 r)
    assert any(width % 4 for _, width in scales)
    widths = np.array([width for _, width in scales])
    assert 1024 <= widths.min() < 1040 and 4080 < widths.max() < 4096
    assert widths.mean() == pytest.approx(1.25 * 2048, rel=0.02)  # drawn log-uniformly it were 1.08
    assert random_scale(PipelineRule((720, 1280), (512, 512), (1.0, 1.0)), generator) == (720, 1280)


def test_labels_take_the_pixel_at_the_floor() -> None:
    label = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9)
    rows, columns = (np.floor(np.arange(new) * (old / new)).astype(int) for old, new in ((7, 5), (9, 20)))
    assert np.array_equal(rescale_label(label, (5, 20)), label[rows][:, columns])


def test_images_are_interpolated_between_four_neighbours_even_where_they_shrink() -> None:
    image = noise(40, 60)

    def places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
        low = np.floor(x).astype(int)
        return low, (low + 1).clip(max=old - 1), x - low

    top, bottom, down = places(40, 13)
    left, right, along = places(60, 17)
    values = image.astype(float)
    rows = values[top] * (1 - down)[:, None, None] + values[bottom] * down[:, None, None]
    expected = rows[:, left] * (1 - along)[:, None] + rows[:, right] * along[:, None]
    assert np.abs(rescale_image(image, (13, 17)) - expected).max() <= 1.0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0: 74, 1: 26}, True),
        ({0: 75, 1: 25}, False),  # less than the share, not as much
        ({0: 100}, False),
        ({0: 50, 255: 50}, False),  # ignored pixels are no second class
        ({0: 6, 1: 4, 255: 90}, True),  # and do not count in the share
        ({0: 8, 1: 2, 255: 90}, False),
        ({255: 100}, False),
    ],
)
def test_a_crop_is_varied_by_its_labelled_pixels(counts: dict[int, int], expected: bool) -> None:
    label = np.repeat(np.array(list(counts), np.uint8), list(counts.values())).reshape(10, 10)
    assert is_varied(label, 0.75) is expected


def drawn_boxes(num: int, margins: tuple[int, int], seed: int) -> list[tuple[int, int]]:
    """The first places from the generator, rows before columns."""
    generator = generator_of(seed)
    return [tuple(int(torch.randint(m + 1, (), generator=generator)) for m in margins) for _ in range(num)]


def test_ten_boxes_are_looked_at_and_the_eleventh_is_taken_unseen() -> None:
    rule = PipelineRule((20, 40), (8, 8))
    monotonous = np.zeros((20, 40), np.uint8)
    for seed in range(5):
        rows, columns = random_box(monotonous, rule, generator_of(seed))
        assert (rows.start, columns.start) == drawn_boxes(11, (12, 32), seed)[10]


def test_the_first_varied_box_is_taken() -> None:
    rule = PipelineRule((20, 40), (8, 8))
    label = np.zeros((20, 40), np.uint8)
    label[:, 20:] = 1
    for seed in range(20):
        rows, columns = random_box(label, rule, generator_of(seed))
        boxes = drawn_boxes(11, (12, 32), seed)
        good = [n for n, (_, left) in enumerate(boxes[:10]) if 2 < sum(x >= 20 for x in range(left, left + 8)) < 6]
        assert (rows.start, columns.start) == boxes[good[0] if good else 10]


def test_without_a_limit_one_box_is_drawn_anywhere() -> None:
    rule, label, generator = (
        PipelineRule((6, 6), (4, 4), max_class_share=1.0),
        np.zeros((6, 6), np.uint8),
        generator_of(0),
    )
    found = Counter(
        (rows.start, columns.start) for rows, columns in (random_box(label, rule, generator) for _ in range(900))
    )
    assert set(found) == {(row, column) for row in range(3) for column in range(3)}
    assert min(found.values()) > 60


def test_what_is_too_small_is_padded_below_and_to_the_right() -> None:
    rule = PipelineRule((10, 20), (16, 16), (1.0, 1.0), max_class_share=1.0, distortion=0.0)
    label = np.tile(np.arange(20, dtype=np.uint8), (10, 1))
    image = np.repeat(label[..., None] * 10, 3, axis=2)
    part, part_label = random_part(image, label, rule=rule, generator=generator_of(3))
    assert part_label.shape == (10, 16) and np.array_equal(part[..., 0], part_label * 10)
    full, full_label, extent = padded(part, part_label, (16, 16))
    assert extent.tolist() == [10, 16]
    assert np.array_equal(full[:10], part) and np.array_equal(full_label[:10], part_label)
    assert (full_label[10:] == 255).all()


def test_values_are_clipped_then_cut() -> None:
    values = np.array([0, 101, 200, 255], np.uint8)
    assert adjusted(values, gain=0.5).tolist() == [0, 50, 100, 127]
    assert adjusted(values, gain=1.5).tolist() == [0, 151, 255, 255]
    assert adjusted(values, offset=-31.5).tolist() == [0, 69, 168, 223]


def hsv_distance(image: np.ndarray, expected: list[tuple[float, float, float]]) -> float:
    return float(np.abs(image.reshape(-1, 3) / 255.0 - np.array(expected)).max())


def test_saturation_and_hue_are_those_of_colorsys() -> None:
    """To the steps of 2 degrees and of 1/255 in which hue, saturation and value are held."""
    image = noise(16, 16) // 2 + 96  # away from black, where a step of saturation is nothing
    hsv = [colorsys.rgb_to_hsv(*(pixel / 255.0)) for pixel in image.reshape(-1, 3)]
    greyer = [colorsys.hsv_to_rgb(h, s * 0.6, v) for h, s, v in hsv]
    assert hsv_distance(with_saturation(image, 0.6), greyer) < 3 / 255
    richer = [colorsys.hsv_to_rgb(h, min(1.0, s * 1.4), v) for h, s, v in hsv]
    assert hsv_distance(with_saturation(image, 1.4), richer) < 5 / 255
    for steps in (-18, 11, 170):
        turned = [colorsys.hsv_to_rgb((h + steps * 2 / 360) % 1.0, s, v) for h, s, v in hsv]
        assert hsv_distance(with_hue(image, steps), turned) < 6 / 255
    assert np.array_equal(with_hue(image, 180), with_hue(image, 0))


def reference_distortion(bgr: np.ndarray, seed: int) -> np.ndarray:
    """The published steps on a BGR image, written down anew, with the draws in their order."""
    generator = generator_of(seed)

    def coin() -> bool:
        return int(torch.randint(2, (), generator=generator)) == 1

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))

    def cut(values: np.ndarray) -> np.ndarray:
        return np.trunc(np.minimum(np.maximum(values, 0), 255)).astype(np.uint8)

    if coin():
        bgr = cut(bgr.astype(np.float32) + np.float32(between(-32, 32)))
    late = not coin()
    if not late and coin():
        bgr = cut(bgr.astype(np.float32) * np.float32(between(0.5, 1.5)))
    if coin():
        hue, saturation, value = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV))
        saturation = cut(saturation.astype(np.float32) * np.float32(between(0.5, 1.5)))
        bgr = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)
    if coin():
        hue, saturation, value = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV))
        steps = int(torch.randint(-18, 18, (), generator=generator))
        hue = np.array([(int(h) + steps) % 180 for h in hue.flat], np.uint8).reshape(hue.shape)
        bgr = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR)
    if late and coin():
        bgr = cut(bgr.astype(np.float32) * np.float32(between(0.5, 1.5)))
    return bgr


def test_distortion_takes_the_published_steps_in_their_order() -> None:
    image = noise(8, 8)
    for seed in range(60):
        expected = reference_distortion(image[..., ::-1].copy(), seed)[..., ::-1]
        assert np.array_equal(distorted(image, 1.0, generator_of(seed)), expected), seed
    assert distorted(image, 0.0, generator_of(0)) is image


def test_half_of_the_coins_fall_on_each_side() -> None:
    grey = np.full((1, 1, 3), 100, np.uint8)  # neither saturation nor hue changes it
    values = [int(distorted(grey, 1.0, generator_of(seed))[0, 0, 0]) for seed in range(800)]
    assert 34 <= min(values) < 48 and 170 < max(values) <= 197  # (100 - 32) / 2, (100 + 32) * 1.5
    assert values.count(100) / 800 == pytest.approx(0.25, abs=0.05)


def small_pool() -> SamplePool:
    """Class 2 has exactly 20 pixels in sample 0 and 21 in sample 1, all in their right halves."""
    samples = []
    for number in (20, 21):
        label = np.zeros((20, 40), np.uint8)
        label[:, ::2] = 1
        label[:, 39] = 2
        label[0, 38] = 2 if number == 21 else 1
        samples.append((noise(20, 40, seed=number), label))
    return SamplePool.collect(samples, num_samples=2, num_classes=3)


def crops_of(pool, **changes) -> PublishedCrops:
    settings = {
        "rule": PipelineRule((20, 40), (16, 16), (1.0, 1.0), distortion=0.0), "sampling": EVERYTHING,
        "seed": 0, "num_positions": 40,
    }  # fmt: skip
    return PublishedCrops(pool, **(settings | changes))


def test_a_crop_is_a_function_of_seed_and_position() -> None:
    one, other = crops_of(small_pool()), crops_of(small_pool(), seed=1)
    backwards = {position: one[position] for position in reversed(range(10))}
    assert all(
        torch.equal(a, b) for position in range(10) for a, b in zip(one[position], backwards[position], strict=True)
    )
    assert not all(torch.equal(one[position][0], other[position][0]) for position in range(10))


def test_an_image_is_drawn_for_a_class_it_holds_more_of_than_asked() -> None:
    pool = small_pool()
    rare = SamplingRule(temperature=0.01, min_pixels=20)
    crops = crops_of(pool, sampling=rare, rule=PipelineRule((20, 40), (20, 40), (1.0, 1.0), 1.0, 0.0))
    assert all((label == 2).sum() == 21 for _, label, _ in (crops[position] for position in range(20)))


def test_the_pipeline_runs_anew_until_the_crop_holds_more_than_its_share() -> None:
    """A place of class 2 is in 1 of 25 columns of boxes: in 4 % of the crops, and in 36 % by eleven draws."""
    rule = PipelineRule((20, 40), (16, 16), (1.0, 1.0), 1.0, 0.0)

    def share_with_class_2(crop_share: float) -> float:
        rare = SamplingRule(temperature=0.01, min_pixels=15, crop_share=crop_share)
        crops = crops_of(small_pool(), sampling=rare, rule=rule, num_positions=200)
        return sum(int((crops[position][1] == 2).sum()) > 15 for position in range(200)) / 200

    assert share_with_class_2(1.0) == pytest.approx(1 - (24 / 25) ** 11, abs=0.1)
    # No crop holds 31 pixels: all are drawn to the end, and the last is as good as any.
    assert share_with_class_2(2.0) < 0.12


def test_files_keep_their_sizes_and_are_counted() -> None:
    samples = [(noise(20, 40), np.zeros((20, 40), np.uint8)), (noise(30, 24), np.ones((30, 24), np.uint8))]
    samples[1][1][0] = 255
    pool = FilePool(samples, num_classes=3)
    assert len(pool) == 2 and pool.size_HW == (20, 40)
    assert pool.counts_NK.tolist() == [[800, 0, 0], [0, 29 * 24, 0]]
    assert pool.sample(1)[0].shape == (30, 24, 3)
    image, label, extent = crops_of(pool, rule=PipelineRule((15, 30), (16, 16), (1.0, 1.0)))[0]
    assert image.shape == (16, 16, 3) and label.shape == (16, 16) and extent.tolist() in ([15, 16], [16, 15])
