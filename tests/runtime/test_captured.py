"""A graph is trusted where it follows every weight there is; else inference goes on without it, and says so."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.trainable import adaptable_tensors
from runtime.serving import CopiedReplica
from runtime.weights import VersionedWeights
from tests.fakes import make_frame
from tests.runtime.served import Biased, SlowLane, learnt_adapters, peak


class FoldingLane(SlowLane):
    """Its graphs repeat the first answer for ever, as one does in which the weights were folded to constants."""

    def capture(self, work):
        work()
        return lambda: None


class PartlyFoldingLane(SlowLane):
    """In its graphs one tensor is as it was at capture, the others are live."""

    def __init__(self, folded: Tensor) -> None:
        super().__init__()
        self._folded = folded

    def capture(self, work):
        held = self._folded.clone()

        def replay():
            live = self._folded.clone()
            self._folded.copy_(held)
            work()
            self._folded.copy_(live)

        return replay


class FailingLane(SlowLane):
    def capture(self, work):
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nand more lines")


@pytest.fixture
def image_HWC() -> np.ndarray:
    return make_frame(1).image_HWC


@pytest.mark.parametrize(
    ("lane", "reason"),
    [
        (FoldingLane(), "it does not follow the weights"),
        (FailingLane(), "operation not permitted when stream is capturing"),
    ],
)
def test_a_graph_that_cannot_be_trusted_is_refused_and_said_so(image_HWC, lane, reason) -> None:
    faults: list[str] = []
    replica = CopiedReplica(Biased(), lane, on_fault=faults.append)
    weights = VersionedWeights(peak(0))
    for number in (2, 11):
        replica.apply(weights.publish(peak(number), frame_index=number))
        assert (replica.answer(image_HWC).labels_HW == number).all()
    assert faults == [f"inference runs without its CUDA graph: {reason}"]


@pytest.mark.parametrize("folded", ["blocks.1.adapter.down.weight", "blocks.0.adapter.up.bias", ""])
def test_a_graph_that_holds_one_tensor_of_many_is_refused(folded) -> None:
    model, versions = learnt_adapters("adaptformer", stages=(4,))
    tensor = adaptable_tensors(model)[f"encoder.stages.3.{folded}"] if folded else torch.zeros(1)
    faults: list[str] = []
    replica = CopiedReplica(model, PartlyFoldingLane(tensor), on_fault=faults.append)
    replica.apply(versions[0])
    replica.answer(make_frame(1).image_HWC)
    assert ["it does not follow" in fault for fault in faults] == [True] * bool(folded)


def test_a_trusted_graph_leaves_the_weights_as_they_were(image_HWC) -> None:
    model, faults = Biased(), []
    replica = CopiedReplica(model, SlowLane(), on_fault=faults.append)
    version = VersionedWeights(peak(8)).latest
    replica.apply(version)
    replica.answer(image_HWC)
    assert torch.equal(model.bias, version.tensors["bias"]) and faults == []
