import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.slices import SLICE_FRAMES, SliceKey, SliceLog, read_slices, write_slices


def counts(value):
    return np.full((2, 2), value, np.int64)


def filled(visits, *, max_slices=2048, round_length=10**9):
    """A log of `visits`, each so many frames long; frame i adds i to every adapted count and 1 to every frozen one."""
    log, index = SliceLog(2, max_slices=max_slices), 0
    for visit, length in enumerate(visits):
        for _ in range(length):
            key = SliceKey(f"domain_{visit % 3}", visit, index // round_length)
            log.add(key, index, counts(index), counts(1))
            index += 1
    return log


def test_slices_hold_five_frames_of_one_visit_and_one_round():
    slices = filled([7, 5], round_length=9).slices()
    assert slices.num_frames_N.tolist() == [5, 2, 2, 3]
    assert slices.first_frame_N.tolist() == [0, 5, 7, 9]
    assert slices.visit_N.tolist() == [0, 0, 1, 1]
    assert slices.round_N.tolist() == [0, 0, 0, 1]
    assert slices.domain_N.tolist() == ["domain_0", "domain_0", "domain_1", "domain_1"]
    assert slices.served_NKK[:, 0, 0].tolist() == [0 + 1 + 2 + 3 + 4, 5 + 6, 7 + 8, 9 + 10 + 11]
    assert slices.frozen_NKK[:, 1, 0].tolist() == [5, 2, 2, 3]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(4, 16))
def test_memory_is_bounded_and_no_count_is_lost_while_visits_are_few(visits, max_slices):
    slices = filled(visits, max_slices=max_slices).slices()
    assert len(slices) <= max_slices
    if len(visits) <= 3 * max_slices // 4:
        assert slices.num_frames_N.sum() == sum(visits)
        assert slices.visits == list(range(len(visits)))
        held = [int(slices.num_frames_N[slices.visit_N == visit].sum()) for visit in slices.visits]
        assert held == visits
    total = sum(visits)
    kept = range(int(slices.first_frame_N[0]), total)
    assert slices.served_NKK[:, 0, 0].sum() == sum(kept)
    assert slices.frozen_NKK[:, 0, 0].sum() == len(kept)


def test_a_long_visit_ends_up_in_longer_slices():
    slices = filled([200], max_slices=8).slices()
    assert len(slices) <= 8
    assert slices.num_frames_N.max() % SLICE_FRAMES == 0 and slices.num_frames_N.max() >= 200 / 8


def test_files_give_back_what_was_written_and_nothing_is_unpickled(tmp_path):
    slices = filled([7, 5]).slices()
    write_slices(tmp_path / "slices.npz", slices)
    again = read_slices(tmp_path / "slices.npz")
    for name in slices.__dataclass_fields__:
        assert getattr(again, name).tolist() == getattr(slices, name).tolist()
    assert read_slices(tmp_path / "none.npz") is None
    np.savez(tmp_path / "evil.npz", domain_N=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_slices(tmp_path / "evil.npz")


def test_a_log_goes_on_from_its_state():
    whole, second = filled([7, 5, 9], max_slices=4), SliceLog(2, max_slices=4)
    second.load_state(filled([7, 5], max_slices=4).state())
    for index in range(12, 21):
        second.add(SliceKey("domain_2", 2, 0), index, counts(index), counts(1))
    assert repr(second.state()) == repr(whole.state())
    with pytest.raises(ValueError, match="not the state of a slice log"):
        second.load_state({})
