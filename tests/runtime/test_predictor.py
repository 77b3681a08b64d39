"""Every prediction comes from exactly one published version, and the shadow from the source's."""

import numpy as np
import pytest
import torch

from models.checkpoint import load_model
from models.preprocess import CONFIDENT, normalise, to_tensor
from models.trainable import adaptable_tensors, load_adaptable, replica, set_trainable
from runtime.predictor import Predictor, Shadow
from runtime.serving import SwappedReplica
from runtime.shift.appearance import NUM_FEATURES, appearance
from runtime.shift.routing import Router
from runtime.weights import VersionedWeights
from tests.fakes import ManualClock, make_frame, make_source

CPU = torch.device("cpu")


@pytest.fixture
def model(tiny_world):
    network, _ = load_model(tiny_world.checkpoint)
    set_trainable(network, "head")
    return network


def test_a_new_version_changes_number_and_answer_together(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    predictor = Predictor(SwappedReplica(replica(model), CPU), weights, clock=ManualClock())
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
    prediction = Predictor(SwappedReplica(replica(model), CPU), weights, clock=ManualClock()).predict(frame)
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
    prediction = Predictor(SwappedReplica(replica(model), CPU), weights, clock=ManualClock()).predict(make_frame())
    assert prediction.confident_share == 1.0 and prediction.confidence == pytest.approx(1.0)
    assert prediction.entropy_nats == pytest.approx(0.0, abs=1e-6)


def test_the_times_are_the_clocks(model) -> None:
    clock = ManualClock(start_s=200.0)
    weights = VersionedWeights(adaptable_tensors(model))
    prediction = Predictor(SwappedReplica(replica(model), CPU), weights, clock=clock).predict(make_frame(at_s=150.0))
    assert (prediction.started_at_s, prediction.finished_at_s, prediction.latency_s) == (200.0, 200.0, 50.0)


def test_the_shadow_stays_at_the_source(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    predictor = Predictor(SwappedReplica(replica(model), CPU), weights, clock=ManualClock())
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
    predictor = Predictor(SwappedReplica(replica(model), CPU), weights, clock=ManualClock())
    version = weights.publish({name: tensor + 1 for name, tensor in before.items()}, frame_index=0)
    predictor.predict(make_frame())
    load_adaptable(model, version.tensors)
    assert all(torch.equal(weights.source.tensors[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(weights.latest.tensors[name], tensor + 1) for name, tensor in before.items())


def test_a_frame_that_looks_like_the_source_is_answered_by_the_source(model) -> None:
    weights = VersionedWeights(adaptable_tensors(model))
    like_source, like_rain = make_frame(1), make_frame(2)
    source = make_source(appearance(like_source.image_HWC), np.eye(NUM_FEATURES))
    predictor = Predictor(SwappedReplica(replica(model), CPU), weights, clock=ManualClock(), router=Router(source))
    sure_of_7 = {name: torch.zeros_like(tensor) for name, tensor in weights.source.tensors.items()}
    sure_of_7["head.classifier.bias"][7] = 50.0
    assert predictor.predict(like_rain).version == 0  # there is nothing else yet
    weights.publish(sure_of_7, frame_index=2, appearance_F=appearance(like_rain.image_HWC))
    answers = [predictor.predict(frame) for frame in (like_rain, like_source, like_rain, like_source)]
    assert [answer.version for answer in answers] == [1, 0, 1, 0]
    assert [bool((answer.labels_HW == 7).all()) for answer in answers] == [True, False, True, False]
    assert np.array_equal(answers[1].appearance_F, appearance(like_source.image_HWC))
