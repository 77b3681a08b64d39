"""The order of a host: done when called. What a GPU does differently is in test_cuda_lane.py."""

import torch

from runtime.lanes import HOST, Lanes, open_lanes


def test_on_a_host_everything_is_done_at_once() -> None:
    with HOST.entered():
        total = torch.ones(3).sum()
        done = HOST.record()
    assert done.is_done() and float(total) == 3
    done.wait()


def test_on_a_host_work_is_repeated_by_doing_it() -> None:
    seen: list[int] = []
    replay = HOST.capture(lambda: seen.append(1))
    assert seen == []
    replay()
    replay()
    assert seen == [1, 1]


def test_a_host_has_one_lane_for_all() -> None:
    assert open_lanes(torch.device("cpu")) == Lanes(HOST, HOST)
