"""The same on a GPU: streams, graph, published versions under a busy learner. Skipped where none is visible."""

import threading

import numpy as np
import pytest
import torch

from models.checkpoint import load_model
from models.trainable import adaptable_tensors, replica, set_trainable
from runtime import events
from runtime.build import build
from runtime.lanes import open_lanes
from runtime.observer import Event
from runtime.predictor import Predictor
from runtime.serving import CopiedReplica, SwappedReplica, serve
from runtime.weights import VersionedWeights
from tests.fakes import ManualClock, make_frame

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible to torch"),
]


@pytest.fixture(scope="module")
def device() -> torch.device:
    return torch.device("cuda")


@pytest.fixture
def student(tiny_world, device):
    network, _ = load_model(tiny_world.checkpoint)
    set_trainable(network, "head")
    return network.to(device)


def shifted(weights: VersionedWeights, klass: int) -> dict[str, torch.Tensor]:
    """The source's weights, with one class so likely that every pixel is of it."""
    tensors = {name: tensor.clone() for name, tensor in weights.source.tensors.items()}
    tensors["head.classifier.bias"][klass] += 100.0
    return tensors


def test_inference_goes_before_learning(device) -> None:
    lanes = open_lanes(device)
    with lanes.inference.entered():
        inference = torch.cuda.current_stream(device)
    with lanes.learning.entered():
        learning = torch.cuda.current_stream(device)
    assert inference != learning and inference.priority < learning.priority
    assert torch.cuda.current_stream(device) == torch.cuda.default_stream(device)


def test_a_place_is_passed_when_the_work_before_it_is_done(device) -> None:
    lane = open_lanes(device).learning
    with lane.entered():
        torch.cuda._sleep(200_000_000)  # cycles: about a tenth of a second
        done = lane.record()
    assert not done.is_done()
    done.wait()
    assert done.is_done()


def test_the_graph_is_kept_and_answers_like_the_plain_network(student, device) -> None:
    faults: list[str] = []
    lanes, weights = open_lanes(device), VersionedWeights(adaptable_tensors(student))
    graphed = serve(replica(student), lanes.inference, on_fault=faults.append)
    plain = SwappedReplica(replica(student), device)
    assert isinstance(graphed, CopiedReplica)
    for number in range(4):
        version = weights.publish(shifted(weights, number), frame_index=number) if number else weights.latest
        for served in (graphed, plain):
            served.apply(version)
        frame = make_frame(number)
        one, other = graphed.answer(frame.image_HWC), plain.answer(frame.image_HWC)
        assert (one.labels_HW == other.labels_HW).mean() > 0.999
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert faults == []


def test_every_prediction_comes_from_one_version_while_another_thread_keeps_the_gpu_busy(student, device) -> None:
    """Published as fast as they come, allocated and freed in the learner's lane, beside kernels that fill the GPU."""
    lanes = open_lanes(device)
    weights = VersionedWeights(adaptable_tensors(student), lane=lanes.learning)
    served = serve(replica(student), lanes.inference, on_fault=print)
    predictor = Predictor(served, weights, clock=ManualClock())
    is_over, failures = threading.Event(), []

    def publish() -> None:
        try:
            with lanes.learning.entered():
                load = torch.randn(2048, 2048, device=device)
                number = 0
                while not is_over.is_set():
                    load = (load @ load).clamp(-1, 1)
                    number += 1
                    weights.publish(shifted(weights, number % 19), frame_index=number)
                    for tensor in weights.source.tensors.values():  # memory that came free is overwritten at once
                        torch.full_like(tensor, float("nan"))
        except BaseException as failure:
            failures.append(failure)

    writer = threading.Thread(target=publish)
    writer.start()
    try:
        predictions = [predictor.predict(make_frame(index)) for index in range(2000)]
    finally:
        is_over.set()
        writer.join()
    assert failures == [] and predictions[-1].version > 100
    wrong = [p for p in predictions if p.version and not (p.labels_HW == p.version % 19).all()]
    assert wrong == [] and not any(np.isnan(p.confidence) for p in predictions)


@pytest.mark.parametrize("pace", ["lockstep", "max"])
def test_a_run_on_the_gpu_learns_and_reports_nothing_amiss(tiny_world, pace) -> None:
    parts = build(tiny_world.config(model={"device": "cuda"}, run={"pace": pace}))
    seen: list[Event] = []
    parts.driver.run(seen.append, threading.Event())
    assert parts.faults.empty() and not any(isinstance(event, events.Fault) for event in seen)
    assert sum(isinstance(event, events.Prediction) for event in seen) == 12
    steps = [event for event in seen if isinstance(event, events.AdaptationStep)]
    assert steps and {step.outcome for step in steps} == {"applied"}
