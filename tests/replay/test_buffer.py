import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.buffer import ReplayBuffer
from replay.sampling import SamplingRule

SIZE_HW = (4, 6)
BYTES_PER_SAMPLE = 4 * 6 * 4 + 19 * 8


def make_buffer(num_samples: int, *, seed: int = 0, rule: SamplingRule | None = None) -> ReplayBuffer:
    generator = torch.Generator().manual_seed(seed)
    return ReplayBuffer(SIZE_HW, capacity_bytes=num_samples * BYTES_PER_SAMPLE, generator=generator, rule=rule)


def sample_of(value: int, class_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return np.full((*SIZE_HW, 3), value, np.uint8), np.full(SIZE_HW, class_id, np.uint8)


@given(
    capacity_bytes=st.integers(BYTES_PER_SAMPLE, 12 * BYTES_PER_SAMPLE),
    num_offered=st.integers(0, 40),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_the_byte_bound_is_never_exceeded(capacity_bytes: int, num_offered: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    buffer = ReplayBuffer(SIZE_HW, capacity_bytes=capacity_bytes, generator=generator)
    for value in range(num_offered):
        buffer.add(*sample_of(value))
        assert buffer.statistics().num_bytes <= capacity_bytes
    statistics = buffer.statistics()
    assert statistics.num_samples == min(num_offered, capacity_bytes // BYTES_PER_SAMPLE)
    assert statistics.num_offered == num_offered


@given(
    samples=st.lists(st.tuples(st.integers(0, 255), st.sampled_from([0, 3, 18, 255])), min_size=1, max_size=30),
    capacity=st.integers(1, 8),
    is_rare_first=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_what_is_drawn_was_added(samples: list[tuple[int, int]], capacity: int, is_rare_first: bool, seed: int) -> None:
    rule = SamplingRule(temperature=0.01 if is_rare_first else None)
    buffer = make_buffer(capacity, seed=seed, rule=rule)
    for value, class_id in samples:
        buffer.add(*sample_of(value, class_id))
    images, labels = buffer.sample(5)
    assert images.shape == (5, *SIZE_HW, 3) and images.dtype == torch.uint8
    assert labels.shape == (5, *SIZE_HW) and labels.dtype == torch.uint8
    for image, label in zip(images, labels, strict=True):
        assert image.unique().numel() == 1 and label.unique().numel() == 1
        assert (int(image[0, 0, 0]), int(label[0, 0])) in samples


@given(seed=st.integers(0, 2**31), num_offered=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_one_seed_gives_one_history(seed: int, num_offered: int) -> None:
    histories = []
    for _ in range(2):
        buffer = make_buffer(4, seed=seed)
        for value in range(num_offered):
            buffer.add(*sample_of(value, value % 19))
        histories.append((buffer.draw(10).tolist(), buffer.sample(3)[0].tolist()))
    assert histories[0] == histories[1]


def test_a_full_buffer_keeps_every_offered_sample_with_equal_chance() -> None:
    held = np.zeros(20)
    for seed in range(600):
        buffer = make_buffer(5, seed=seed, rule=SamplingRule(temperature=None))
        for value in range(20):
            buffer.add(*sample_of(value))
        held[buffer.gather(torch.arange(5))[0][:, 0, 0, 0].numpy()] += 1
    # Each is held with chance 5/20; the deviation of the mean of 600 coins is 0.018.
    assert np.abs(held / 600 - 0.25).max() < 0.07


def test_rare_classes_are_drawn_first() -> None:
    buffer = make_buffer(10)
    for value in range(9):
        buffer.add(*sample_of(value, class_id=0))
    buffer.add(*sample_of(9, class_id=12))
    indices = buffer.draw(50)
    assert (indices == 9).all()
    assert buffer.statistics().draws_by_class[12] == 50
    assert buffer.statistics().num_draws == 50


def test_any_sample_is_drawn_as_often_as_another_whatever_the_rule() -> None:
    """Of 12 samples one is rare and would be every second draw: 1200 draws, four deviations of Binomial(1200, 1/12)."""
    buffer = ReplayBuffer((4, 4), capacity_bytes=1 << 20, generator=torch.Generator().manual_seed(0), num_classes=3)
    for number in range(12):
        buffer.add(np.full((4, 4, 3), number, np.uint8), np.full((4, 4), 1 if number == 0 else 0, np.uint8))
    counts_N = np.bincount([buffer.draw_any() for _ in range(1200)], minlength=12)
    assert np.abs(counts_N - 100).max() < 4 * (1200 / 12 * 11 / 12) ** 0.5
    assert buffer.statistics().num_draws == 1200


def test_samples_are_copies() -> None:
    buffer = make_buffer(2)
    image, label = sample_of(7)
    buffer.add(image, label)
    image[:] = 99
    buffer.sample(1)[0].fill_(55)
    assert (buffer.sample(1)[0] == 7).all()


def test_read_only_arrays_are_taken() -> None:
    buffer = make_buffer(1)
    image, label = sample_of(3)
    image.setflags(write=False)
    label.setflags(write=False)
    assert buffer.add(image, label) == 0


def test_drawing_goes_on_from_a_saved_state() -> None:
    first, second = make_buffer(6, seed=3), make_buffer(6, seed=4)
    for value in range(6):
        first.add(*sample_of(value, value))
        second.add(*sample_of(value, value))
    first.draw(7)
    second.load_state(first.state())
    assert second.draw(20).tolist() == first.draw(20).tolist()
    assert second.statistics() == first.statistics()


def test_pixels_by_class_follow_replacement() -> None:
    buffer = make_buffer(1, seed=0)
    for value in range(30):
        buffer.add(*sample_of(value, class_id=value % 3))
    held_class = int(buffer.sample(1)[1][0, 0, 0])
    pixels = buffer.statistics().pixels_by_class
    assert pixels[held_class] == 24 and sum(pixels) == 24


def test_wrong_sizes_and_types_are_refused_with_what_was_expected() -> None:
    buffer = make_buffer(1)
    image, label = sample_of(0)
    with pytest.raises(ValueError, match=r"uint8 of shape \(4, 6, 3\)"):
        buffer.add(image[:2], label)
    with pytest.raises(ValueError, match=r"label must be uint8 of shape \(4, 6\)"):
        buffer.add(image, label.astype(np.int64))


def test_an_empty_buffer_says_so() -> None:
    with pytest.raises(ValueError, match="empty"):
        make_buffer(1).sample(1)


def test_indices_outside_are_refused() -> None:
    buffer = make_buffer(3)
    buffer.add(*sample_of(0))
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        buffer.gather(torch.tensor([1]))


def test_a_capacity_below_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold one 4x6 sample"):
        ReplayBuffer(SIZE_HW, capacity_bytes=BYTES_PER_SAMPLE - 1, generator=torch.Generator())


@pytest.mark.parametrize(("temperature", "min_pixels"), [(0.0, None), (-1.0, None), (0.01, 0)])
def test_impossible_rules_are_refused(temperature: float, min_pixels: int | None) -> None:
    with pytest.raises(ValueError, match=r"replay\."):
        SamplingRule(temperature=temperature, min_pixels=min_pixels)
