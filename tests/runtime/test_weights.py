"""Published versions are complete, numbered and immutable."""

import threading

import pytest
import torch

from runtime.weights import VersionedWeights


def test_version_zero_is_the_source_and_stays_it() -> None:
    live = {"a": torch.zeros(3)}
    weights = VersionedWeights(live)
    live["a"].add_(1)
    weights.publish(live, frame_index=7)
    assert weights.source.number == 0
    assert torch.equal(weights.source.tensors["a"], torch.zeros(3))
    assert weights.latest.number == 1 and weights.latest.parent == 0 and weights.latest.frame_index == 7


def test_a_published_version_does_not_follow_the_learner() -> None:
    live = {"a": torch.zeros(3)}
    weights = VersionedWeights(live)
    version = weights.publish(live, frame_index=0)
    live["a"].fill_(5)
    assert torch.equal(version.tensors["a"], torch.zeros(3))


def test_another_set_of_tensors_is_refused() -> None:
    weights = VersionedWeights({"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="'b'"):
        weights.publish({"a": torch.zeros(1), "b": torch.zeros(1)}, frame_index=0)


def test_a_reader_never_sees_half_a_version() -> None:
    """Every version carries its number in each of many tensors; a mixture would show as two numbers."""
    names = [f"t{number}" for number in range(40)]
    live = {name: torch.zeros(64) for name in names}
    weights = VersionedWeights(live)
    is_done = threading.Event()

    def publish() -> None:
        for number in range(1, 600):
            for tensor in live.values():
                tensor.fill_(number)
            weights.publish(live, frame_index=number)
        is_done.set()

    writer = threading.Thread(target=publish)
    writer.start()
    num_read = 0
    while not is_done.is_set() or num_read == 0:
        version = weights.latest
        assert {float(tensor.mean()) for tensor in version.tensors.values()} == {float(version.number)}
        num_read += 1
    writer.join()
    assert weights.latest.number == 599
