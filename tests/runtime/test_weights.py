"""Published versions are complete, numbered and immutable."""

import threading

import pytest
import torch

from runtime.weights import VersionedWeights, WriterRetired


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


def test_a_retired_writer_changes_nothing_any_more_and_the_source_serves() -> None:
    weights = VersionedWeights({"a": torch.zeros(1)})
    weights.publish({"a": torch.ones(1)}, frame_index=1)
    assert weights.retire_writer() is weights.source
    for late in (lambda: weights.publish({"a": torch.full((1,), 2.0)}, frame_index=2), weights.fall_back):
        with pytest.raises(WriterRetired, match="version 0"):
            late()
    assert weights.latest is weights.source and weights.retire_writer() is weights.source


def test_a_writer_retired_in_the_midst_of_publishing_is_refused() -> None:
    """The late learner has begun to copy when it is given up."""
    weights = VersionedWeights({"a": torch.zeros(1)})

    class RetiringOnCopy(dict):
        def items(self):
            weights.retire_writer()
            return super().items()

    with pytest.raises(WriterRetired):
        weights.publish(RetiringOnCopy(a=torch.ones(1)), frame_index=0)
    assert weights.latest is weights.source
