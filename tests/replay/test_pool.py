import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from replay.augment import CropRule
from replay.pool import AugmentedSamples, SamplePool
from replay.sampling import SamplingRule


def make_pool(num: int = 6) -> SamplePool:
    generator = np.random.default_rng(0)
    samples = []
    for number in range(num):
        label = np.zeros((24, 32), np.uint8)
        label[:, 16:] = 1
        label[4:12, 20:30] = 2 if number == 0 else 1
        samples.append((generator.integers(0, 256, (24, 32, 3), dtype=np.uint8), label))
    return SamplePool.collect(samples, num_samples=num, num_classes=3)


def make_crops(*, seed: int = 0, temperature: float | None = 0.01) -> AugmentedSamples:
    return AugmentedSamples(
        make_pool(),
        crop=CropRule((16, 16), (0.8, 1.5)),
        rule=SamplingRule(temperature, min_pixels=20),
        photometric=0.5,
        seed=seed,
        num_positions=40,
    )


def test_a_pool_holds_what_it_was_given() -> None:
    pool = make_pool()
    assert len(pool) == 6 and pool.size_HW == (24, 32)
    assert pool.counts_NK[0].tolist() == [384, 304, 80]
    assert pool.counts_NK[1].tolist() == [384, 384, 0]


def test_too_few_samples_are_an_error() -> None:
    image, label = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="expected 3 labelled samples, got 1"):
        SamplePool.collect([(image, label)], num_samples=3, num_classes=2)
    with pytest.raises(ValueError, match="no labelled sample"):
        SamplePool.collect([], num_samples=1, num_classes=2)


def test_a_crop_is_a_function_of_seed_and_position() -> None:
    crops, again, other = make_crops(), make_crops(), make_crops(seed=1)
    backwards = {position: again[position] for position in reversed(range(10))}
    for position in range(10):
        image, label = crops[position]
        assert torch.equal(image, backwards[position][0]) and torch.equal(label, backwards[position][1])
    assert not all(torch.equal(crops[position][0], other[position][0]) for position in range(10))


def test_rare_classes_are_seen_more_often_than_they_occur() -> None:
    def share_with_class_2(temperature: float | None) -> float:
        crops = make_crops(temperature=temperature)
        return sum(bool((crops[position][1] == 2).any()) for position in range(40)) / 40

    assert share_with_class_2(0.01) > 0.9
    assert share_with_class_2(None) < 0.4


def test_crops_batch_as_uint8() -> None:
    images_BHWC, labels_BHW = next(iter(DataLoader(make_crops(), batch_size=4)))
    assert images_BHWC.shape == (4, 16, 16, 3) and images_BHWC.dtype == torch.uint8
    assert labels_BHW.shape == (4, 16, 16) and labels_BHW.dtype == torch.uint8
