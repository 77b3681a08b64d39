"""The same on a GPU: streams, graph, published versions under a busy learner. Skipped where none is visible."""

import threading

import numpy as np
import pytest
import torch

from models.adapters import AdapterConfig, attach_adapters
from models.checkpoint import load_model
from models.precision import PRECISIONS
from models.trainable import adaptable_tensors, replica, set_trainable
from runtime import events
from runtime.adaptation.methods import METHODS
from runtime.adaptation.segments import Segments
from runtime.build import Parts, build
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
    lanes = open_lanes(device)
    weights = VersionedWeights(adaptable_tensors(student), lane=lanes.learning)  # waits for what this thread queued
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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["adaptformer", "lora", "ssf"])
def test_the_graph_is_kept_with_adapters_of_every_kind(tiny_world, device, kind, precision) -> None:
    network, _ = load_model(tiny_world.checkpoint)
    attach_adapters(network.to(device), AdapterConfig(kind), generator=torch.Generator().manual_seed(0))
    set_trainable(network, "adapters+head")
    network.answers_in = PRECISIONS[precision]
    faults: list[str] = []
    lanes = open_lanes(device)
    weights = VersionedWeights(adaptable_tensors(network), lane=lanes.learning)
    graphed = serve(replica(network), lanes.inference, on_fault=faults.append)
    plain = SwappedReplica(replica(network), device)
    version = weights.publish(shifted(weights, 7), frame_index=0)
    for served in (graphed, plain):
        served.apply(version)
    one, other = (served.answer(make_frame(0).image_HWC) for served in (graphed, plain))
    assert faults == [] and (one.labels_HW == 7).all() and (other.labels_HW == 7).all()
    assert one.confidence == pytest.approx(other.confidence, abs=1e-3)


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


LEARNING = [name for name, entry in METHODS.items() if entry.build is not None]


@pytest.mark.parametrize("method", LEARNING)
def test_every_method_computes_on_the_gpu_and_its_state_comes_back_there(tiny_world, method) -> None:
    """What is drawn, styled and mixed on the host meets the network's tensors in every loss, and after a restart."""
    config = tiny_world.config(
        model={"device": "cuda"}, run={"pace": "lockstep"}, adaptation={"method": method}, stream={"max_frames": 6}
    )
    first, again = build(config), build(config)
    seen = happened(first)
    again.snapshots.restore(again.cycle, first.snapshots.take(first.cycle).state)
    seen += happened(again)
    assert first.faults.empty() and not any(isinstance(event, events.Fault) for event in seen)
    steps = [event for event in seen if isinstance(event, events.AdaptationStep)]
    assert steps and {step.outcome for step in steps} <= {"applied", "shadowed", "skipped", "refused_guard"}


def test_a_backward_pass_comes_to_boundaries_in_the_lane_of_its_forward_pass(device) -> None:
    """Autograd has a thread of its own for a GPU; a place recorded in another stream would tell nothing of its work."""
    lane, threads, streams = open_lanes(device).learning, set(), set()

    def boundary() -> None:
        threads.add(threading.get_ident())
        streams.add(torch.cuda.current_stream(device))

    with lane.entered():
        own = torch.cuda.current_stream(device)
        with Segments(boundary):
            weight = torch.ones(64, 64, device=device, requires_grad=True)
            torch.autograd.backward((weight @ weight).relu().sum())
    assert len(threads) == 2 and streams == {own}


def test_a_live_stream_is_learnt_from_in_its_gaps(tiny_world) -> None:
    parts = build(tiny_world.config(model={"device": "cuda"}, run={"pace": "live"}, stream={"fps": 5.0}))
    seen = happened(parts)
    assert parts.faults.empty() and not any(isinstance(event, events.Fault) for event in seen)
    steps = [event for event in seen if isinstance(event, events.AdaptationStep)]
    assert steps and {step.outcome for step in steps} == {"applied"}


def happened(parts: Parts) -> list[Event]:
    """All events of a run."""
    seen: list[Event] = []
    parts.driver.run(seen.append, threading.Event())
    return seen


@pytest.mark.parametrize("pace", ["lockstep", "max"])
def test_a_run_on_the_gpu_learns_and_reports_nothing_amiss(tiny_world, pace) -> None:
    parts = build(tiny_world.config(model={"device": "cuda"}, run={"pace": pace}))
    seen = happened(parts)
    assert parts.faults.empty() and not any(isinstance(event, events.Fault) for event in seen)
    assert sum(isinstance(event, events.Prediction) for event in seen) == 12
    steps = [event for event in seen if isinstance(event, events.AdaptationStep)]
    assert steps and {step.outcome for step in steps} == {"applied"}
