"""Every prediction comes from exactly one published version, and the shadow from the source's."""

# B batch, K classes, H height, W width

import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import load_model
from models.preprocess import CONFIDENT, normalise, to_tensor
from models.trainable import adaptable_tensors, load_adaptable, replica, set_trainable
from runtime.lanes import HOST
from runtime.predictor import Predictor, Shadow
from runtime.weights import Version, VersionedWeights
from streams.frame import Frame
from tests.fakes import ManualClock, make_frame

CPU = torch.device("cpu")
NUM_TENSORS = 32
NUM_CLASSES = 19


class Telltale(nn.Module):
    """Column i of its answer is the class (value of tensor i) mod 19: which version each tensor came from."""

    def __init__(self) -> None:
        super().__init__()
        for index in range(NUM_TENSORS):
            self.register_parameter(f"t{index:02}", nn.Parameter(torch.zeros(4), requires_grad=False))
        self.adaptable_names = tuple(name for name, _ in self.named_parameters())

    def forward(self, x_B3HW: Tensor) -> Tensor:
        classes_W = torch.stack([tensor.mean() for tensor in self.parameters()]).round().long() % NUM_CLASSES
        logits_KW = functional.one_hot(classes_W, NUM_CLASSES).float().T
        return logits_KW[None, :, None, :].expand(1, NUM_CLASSES, x_B3HW.shape[2], NUM_TENSORS)


class HalfLoading:
    """The defect that rule 2 forbids: every second tensor of a version arrives one version late."""

    def __init__(self, weights: VersionedWeights) -> None:
        self._weights = weights
        self._last: Mapping[str, Tensor] = weights.latest.tensors

    @property
    def latest(self) -> Version:
        newest = self._weights.latest
        mixed = {
            name: tensor if number % 2 else self._last[name]
            for number, (name, tensor) in enumerate(newest.tensors.items())
        }
        self._last = newest.tensors
        return Version(newest.number, MappingProxyType(mixed), newest.parent, newest.frame_index)


def filled(number: int) -> dict[str, Tensor]:
    return {f"t{index:02}": torch.full((4,), float(number)) for index in range(NUM_TENSORS)}


def num_torn_predictions(weights: VersionedWeights, seen: object, *, num: int = 1000) -> int:
    """How many of `num` predictions, made while another thread publishes, are not what their version gives."""
    frame = Frame(0, 0.0, np.zeros((4, NUM_TENSORS, 3), np.uint8))
    predictor = Predictor(Telltale(), seen, lane=HOST, clock=ManualClock())
    is_over = threading.Event()

    def publish() -> None:
        live = filled(0)
        number = 0
        while not is_over.is_set():
            number += 1
            for tensor in live.values():
                tensor.fill_(number)
            weights.publish(live, frame_index=number)

    publisher = threading.Thread(target=publish)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)  # the threads take turns a hundred times as often, in the midst of everything
    publisher.start()
    try:
        predictions = [predictor.predict(frame) for _ in range(num)]
    finally:
        is_over.set()
        publisher.join()
        sys.setswitchinterval(interval_s)
    versions = [prediction.version for prediction in predictions]
    assert versions == sorted(versions) and versions[-1] > versions[0]
    return sum(
        not np.array_equal(prediction.labels_HW, np.full((4, NUM_TENSORS), prediction.version % NUM_CLASSES))
        for prediction in predictions
    )


def test_every_prediction_comes_from_exactly_one_version() -> None:
    weights = VersionedWeights(filled(0))
    assert num_torn_predictions(weights, weights) == 0


def test_the_check_above_finds_a_predictor_that_mixes_versions() -> None:
    weights = VersionedWeights(filled(0))
    assert num_torn_predictions(weights, HalfLoading(weights), num=100) > 0


@pytest.fixture
def model(tiny_world):
    network, _ = load_model(tiny_world.checkpoint)
    set_trainable(network, "head")
    return network


def test_a_new_version_changes_number_and_answer_together(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    predictor = Predictor(replica(model), weights, lane=HOST, clock=ManualClock())
    frame = make_frame(3)
    first = predictor.predict(frame)
    changed = {name: tensor.clone() for name, tensor in weights.source.tensors.items()}
    changed["head.classifier.bias"][7] += 100.0
    weights.publish(changed, frame_index=3)
    second = predictor.predict(frame)
    assert (first.version, second.version) == (0, 1)
    assert (second.labels_HW == 7).all() and not (first.labels_HW == 7).all()
    assert (first.labels_HW != 7).any() and first.labels_HW.dtype == np.uint8 and first.labels_HW.shape == (32, 64)


def test_certainty_is_that_of_the_softmax(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    frame = make_frame(5)
    prediction = Predictor(replica(model), weights, lane=HOST, clock=ManualClock()).predict(frame)
    with torch.no_grad():
        p_KHW = model(normalise(to_tensor(frame.image_HWC)[None]))[0].softmax(0).double().numpy()
    assert prediction.confidence == pytest.approx(p_KHW.max(0).mean(), rel=1e-5)
    assert prediction.entropy_nats == pytest.approx(-(p_KHW * np.log(p_KHW)).sum(0).mean(), rel=1e-5)
    assert prediction.confident_share == pytest.approx((p_KHW.max(0) >= CONFIDENT).mean())


def test_a_sure_model_is_wholly_confident(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    sure = {name: torch.zeros_like(tensor) for name, tensor in weights.source.tensors.items()}
    sure["head.classifier.bias"][2] = 50.0
    weights.publish(sure, frame_index=0)
    prediction = Predictor(replica(model), weights, lane=HOST, clock=ManualClock()).predict(make_frame())
    assert prediction.confident_share == 1.0 and prediction.confidence == pytest.approx(1.0)
    assert prediction.entropy_nats == pytest.approx(0.0, abs=1e-6)


def test_the_times_are_the_clocks(model) -> None:
    clock = ManualClock(start_s=200.0)
    weights = VersionedWeights(adaptable_tensors(model))
    prediction = Predictor(replica(model), weights, lane=HOST, clock=clock).predict(make_frame(at_s=150.0))
    assert (prediction.started_at_s, prediction.finished_at_s, prediction.latency_s) == (200.0, 200.0, 50.0)


def test_the_shadow_stays_at_the_source(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    predictor = Predictor(replica(model), weights, lane=HOST, clock=ManualClock())
    shadow = Shadow(replica(model), weights, device=CPU, clock=ManualClock())
    frame = make_frame(4)
    source = predictor.predict(frame)
    assert shadow.predict(source).labels_HW is source.labels_HW  # version 0 serves: the answer is known
    weights.publish({name: tensor * 0 for name, tensor in weights.source.tensors.items()}, frame_index=0)
    served = predictor.predict(frame)
    said = shadow.predict(served)
    assert np.array_equal(said.labels_HW, source.labels_HW) and said.served_labels_HW is served.labels_HW
    assert not np.array_equal(said.labels_HW, served.labels_HW)


def test_predicting_writes_into_no_version(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    before = {name: tensor.clone() for name, tensor in weights.source.tensors.items()}
    predictor = Predictor(replica(model), weights, lane=HOST, clock=ManualClock())
    version = weights.publish({name: tensor + 1 for name, tensor in before.items()}, frame_index=0)
    predictor.predict(make_frame())
    load_adaptable(model, version.tensors)
    assert all(torch.equal(weights.source.tensors[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(weights.latest.tensors[name], tensor + 1) for name, tensor in before.items())
