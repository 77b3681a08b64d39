import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replay.window import TargetWindow


def image_of(value: int) -> np.ndarray:
    return np.full((3, 5, 3), value, np.uint8)


@given(capacity=st.integers(1, 6), num_added=st.integers(0, 20))
def test_only_the_newest_frames_stay(capacity: int, num_added: int) -> None:
    window = TargetWindow(capacity)
    for index in range(num_added):
        window.add(index, image_of(index))
    expected = list(range(num_added))[::-1][:capacity]
    assert [seen.index for seen in window.recent(100)] == expected
    assert [int(seen.image_HWC[0, 0, 0]) for seen in window.recent(2)] == expected[:2]
    assert window.statistics().num_bytes == len(expected) * 45


def test_frames_are_copies() -> None:
    window = TargetWindow(2)
    image, predicted = image_of(1), np.zeros((3, 5), np.uint8)
    window.add(0, image, predicted)
    image[:] = 9
    predicted[:] = 9
    (seen,) = window.recent(1)
    assert (seen.image_HWC == 1).all()
    assert seen.predicted_HW is not None and (seen.predicted_HW == 0).all()


def test_sampling_is_decided_by_the_generator() -> None:
    window = TargetWindow(5)
    for index in range(5):
        window.add(index, image_of(index))
    draws = [
        [seen.index for seen in window.sample(30, generator=torch.Generator().manual_seed(seed))] for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert set(draws[0]) == {0, 1, 2, 3, 4}


def test_clearing_forgets_but_order_may_go_on() -> None:
    window = TargetWindow(3)
    window.add(10, image_of(0))
    window.clear()
    assert len(window) == 0 and window.statistics().last_index is None
    window.add(11, image_of(0))
    assert window.statistics().first_index == 11


def test_frames_out_of_order_and_empty_windows_are_errors() -> None:
    window = TargetWindow(3)
    with pytest.raises(ValueError, match="empty"):
        window.sample(1, generator=torch.Generator())
    window.add(4, image_of(0))
    with pytest.raises(ValueError, match="in order"):
        window.add(4, image_of(0))
    with pytest.raises(ValueError, match="capacity_frames"):
        TargetWindow(0)
