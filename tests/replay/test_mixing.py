import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replay.mixing import Batch, choose_classes, classmix, num_mixed_classes


def make_batch(labels_BHW: torch.Tensor, value: int, weight: float) -> Batch:
    images = torch.full((*labels_BHW.shape, 3), value, dtype=torch.uint8)
    return Batch(images, labels_BHW, torch.full(labels_BHW.shape, weight))


@pytest.mark.parametrize(
    ("present", "ratio", "expected"),
    [
        (1, 0.5, 1),
        (2, 0.5, 1),
        (3, 0.5, 2),
        (4, 0.5, 2),
        (7, 0.5, 4),
        (4, 0.75, 3),
        (3, 0.75, 3),
        (5, 1.0, 5),
        (5, 0.0, 0),
        (0, 0.5, 0),
    ],
)
def test_number_of_pasted_classes(present: int, ratio: float, expected: int) -> None:
    assert num_mixed_classes(present, ratio) == expected


@given(labels=st.lists(st.sampled_from([0, 2, 8, 13, 255]), min_size=12, max_size=12), seed=st.integers(0, 99))
def test_every_pixel_comes_whole_from_source_or_target(labels: list[int], seed: int) -> None:
    source_labels = torch.tensor(labels, dtype=torch.uint8).view(1, 3, 4)
    source = make_batch(source_labels, 200, 1.0)
    target = make_batch(torch.full((1, 3, 4), 10, dtype=torch.uint8), 50, 0.25)
    mixed = classmix(source, target, generator=torch.Generator().manual_seed(seed))
    chosen = choose_classes(source_labels[0], ratio=0.5, generator=torch.Generator().manual_seed(seed)).tolist()
    assert len(chosen) == num_mixed_classes(len(set(labels) - {255}), 0.5) and 255 not in chosen
    for pixel, label in enumerate(labels):
        is_source = label in chosen
        row, column = divmod(pixel, 4)
        assert int(mixed.labels_BHW[0, row, column]) == (label if is_source else 10)
        assert mixed.images_BHWC[0, row, column].tolist() == [200 if is_source else 50] * 3
        assert float(mixed.weights_BHW[0, row, column]) == (1.0 if is_source else 0.25)


def test_classes_are_listed_for_each_image_by_itself() -> None:
    labels = torch.stack([torch.full((2, 2), 3), torch.full((2, 2), 7)]).to(torch.uint8)
    target = make_batch(torch.zeros_like(labels), 0, 0.5)
    mixed = classmix(make_batch(labels, 9, 1.0), target, generator=torch.Generator().manual_seed(0))
    # One class in each image: half of one rounds up to one, so both are pasted whole.
    assert mixed.labels_BHW.tolist() == labels.tolist()


def test_an_image_without_labels_pastes_nothing() -> None:
    labels = torch.full((1, 2, 2), 255, dtype=torch.uint8)
    target = make_batch(torch.ones_like(labels), 0, 0.5)
    mixed = classmix(make_batch(labels, 9, 1.0), target, generator=torch.Generator())
    assert mixed.labels_BHW.tolist() == target.labels_BHW.tolist()


def test_shapes_and_ratios_are_checked() -> None:
    small = make_batch(torch.zeros(1, 2, 2, dtype=torch.uint8), 0, 1.0)
    large = make_batch(torch.zeros(1, 3, 2, dtype=torch.uint8), 0, 1.0)
    with pytest.raises(ValueError, match="one shape"):
        classmix(small, large, generator=torch.Generator())
    with pytest.raises(ValueError, match=r"ratio must be in \[0, 1\]"):
        classmix(small, small, ratio=1.5, generator=torch.Generator())
    with pytest.raises(ValueError, match="batch shapes differ"):
        Batch(small.images_BHWC, large.labels_BHW, small.weights_BHW)


def test_source_batches_weigh_one_everywhere() -> None:
    labels = torch.zeros(2, 3, 4, dtype=torch.uint8)
    batch = Batch.of_source(torch.zeros(2, 3, 4, 3, dtype=torch.uint8), labels)
    assert batch.weights_BHW.dtype == torch.float32 and bool((batch.weights_BHW == 1).all())
