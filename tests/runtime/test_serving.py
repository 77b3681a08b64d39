"""The protocol between lanes, on a host: copy before forward, publish after staging, hold until applied, capture."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from models.adapters import AdapterConfig, attach_adapters
from models.trainable import adaptable_tensors, set_trainable
from models.trainable import replica as replica_of
from models.zoo import build_model
from runtime.lanes import HOST
from runtime.serving import CopiedReplica, SwappedReplica
from runtime.weights import VersionedWeights
from tests.fakes import make_frame
from tests.runtime.served import CPU, NUM_CLASSES, Biased, SlowLane, learnt_adapters, peak


@pytest.fixture
def image_HWC() -> np.ndarray:
    return make_frame(1).image_HWC


def replicas(lane, faults=None):
    return CopiedReplica(Biased(), lane, on_fault=(faults if faults is not None else []).append)


def test_both_kinds_of_replica_give_the_same_answers(image_HWC) -> None:
    weights = VersionedWeights(peak(0))
    copied, swapped = replicas(SlowLane()), SwappedReplica(Biased(), CPU)
    for number in (0, 7, 3):
        version = weights.publish(peak(number), frame_index=number)
        answers = []
        for replica in (copied, swapped):
            replica.apply(version)
            answers.append(replica.answer(image_HWC))
        assert [np.unique(answer.labels_HW).tolist() for answer in answers] == [[number], [number]]
        assert answers[0].labels_HW.shape == (32, 64) and answers[0].labels_HW.dtype == np.uint8
        for name in ("confidence", "entropy_nats", "confident_share"):
            assert getattr(answers[0], name) == getattr(answers[1], name)


def test_a_version_is_copied_into_memory_that_stays_where_it_is(image_HWC) -> None:
    weights, model = VersionedWeights(peak(0)), Biased()
    address = model.bias.data_ptr()
    replica = CopiedReplica(model, HOST, on_fault=print)
    for number in range(3):
        version = weights.publish(peak(number), frame_index=number)
        replica.apply(version)
        replica.answer(image_HWC)
        assert model.bias.data_ptr() == address != version.tensors["bias"].data_ptr()
        assert torch.equal(model.bias, version.tensors["bias"])


def test_applying_queues_and_never_waits_and_only_an_answer_is_waited_for(image_HWC) -> None:
    lane = SlowLane()
    replica = CopiedReplica(Biased(lambda: lane.log.append("forward")), lane, on_fault=print)
    replica.answer(image_HWC)  # prepared from here on
    lane.log.clear()
    replica.apply(VersionedWeights(peak(4)).latest)
    assert lane.log == ["enter", "record", "leave"]
    lane.log.clear()
    replica.answer(image_HWC)
    assert lane.log == ["enter", "forward", "record", "wait", "leave"]


def test_a_model_is_not_used_before_it_is_there() -> None:
    lane = SlowLane()
    replicas(lane)
    assert lane.log == ["record", "wait"]


def test_a_version_shows_only_when_its_copies_are_there() -> None:
    seen: list[int] = []
    weights: VersionedWeights | None = None
    lane = SlowLane(on_wait=lambda: seen.append(-1 if weights is None else weights.latest.number))
    weights = VersionedWeights(peak(0), lane=lane)
    for number in range(3):
        weights.publish(peak(number), frame_index=number)
    assert seen == [-1, 0, 1, 2] and weights.latest.number == 3  # each wait still saw the version before
    assert lane.log == ["record", "wait"] * 4


def test_a_version_is_held_until_its_copy_is_done() -> None:
    """Otherwise its memory returns to the learner's lane, which may write there while the copy still reads."""
    lane = SlowLane()
    replica, weights = replicas(lane), VersionedWeights(peak(0))

    def applied(number: int) -> "weakref.ref[Tensor]":
        version = weights.publish(peak(number), frame_index=number)
        replica.apply(version)
        return weakref.ref(version.tensors["bias"])

    first, first_copied = applied(1), lane.places[-1]
    second = applied(2)
    applied(3)
    gc.collect()
    assert first() is not None and second() is not None
    first_copied.is_passed = True
    applied(4)
    gc.collect()
    assert first() is None and second() is not None


def test_every_size_is_captured_once_and_the_answers_stay_apart() -> None:
    lane = SlowLane()
    replica = replicas(lane)
    replica.apply(VersionedWeights(peak(5)).latest)
    small, large = np.zeros((8, 8, 3), np.uint8), np.zeros((16, 24, 3), np.uint8)
    first = replica.answer(small)
    kept = first.labels_HW.copy()
    replica.apply(VersionedWeights(peak(6)).latest)
    assert (replica.answer(small).labels_HW == 6).all() and np.array_equal(first.labels_HW, kept)
    assert lane.log.count("capture") == 1
    assert replica.answer(large).labels_HW.shape == (16, 24)
    assert lane.log.count("capture") == 2


@pytest.mark.parametrize("kind", ["adaptformer", "lora", "ssf"])
def test_a_folded_replica_answers_every_version_as_one_with_adapters_beside(kind) -> None:
    model, versions = learnt_adapters(kind)
    plain, folded = SwappedReplica(replica_of(model), CPU), SwappedReplica(model, CPU, is_folded=True)
    image, seen = make_frame(3).image_HWC, []
    for version in (*versions, versions[1], versions[0]):
        plain.apply(version)
        folded.apply(version)
        expected, answer = plain.answer(image), folded.answer(image)
        assert answer.confidence == pytest.approx(expected.confidence, abs=1e-5)
        assert answer.entropy_nats == pytest.approx(expected.entropy_nats, abs=1e-4)
        assert (answer.labels_HW == expected.labels_HW).mean() > 0.999
        seen.append(answer.confidence)
    assert len(set(seen[:3])) == 3 and seen[3:] == [seen[1], seen[0]]


@pytest.mark.parametrize("kind", ["lora", "ssf"])
def test_the_model_a_gpu_serves_is_folded_with_every_version(kind) -> None:
    model, versions = learnt_adapters(kind, stages=(4,))
    plain, copied = SwappedReplica(replica_of(model), CPU), CopiedReplica(model, HOST, on_fault=lambda _: None)
    image = make_frame(3).image_HWC
    for version in (versions[1], versions[2], versions[0]):
        plain.apply(version)
        copied.apply(version)
        assert copied.answer(image).confidence == pytest.approx(plain.answer(image).confidence, abs=1e-5)


def test_every_version_is_answered_in_the_precision_of_the_model(image_HWC) -> None:
    """What is cast for one version must not answer for the next; and bfloat16 shows in the figures, if barely."""
    torch.manual_seed(0)
    student = attach_adapters(build_model("segformer_b0", num_classes=NUM_CLASSES), AdapterConfig("lora")).eval()
    set_trainable(student, "adapters+head")
    weights = VersionedWeights(adaptable_tensors(student))
    source = weights.source
    learnt = weights.publish({name: tensor + 0.002 for name, tensor in source.tensors.items()}, frame_index=0)
    answers = []
    for precision in (torch.float32, torch.bfloat16):
        student.answers_in = precision
        served, fresh = (SwappedReplica(replica_of(student), CPU, is_folded=True) for _ in range(2))
        served.apply(source)
        served.answer(image_HWC)
        for replica in (served, fresh):
            replica.apply(learnt)
        answers.append(served.answer(image_HWC).confidence_hw)
        np.testing.assert_array_equal(answers[-1], fresh.answer(image_HWC).confidence_hw)
    assert 0 < abs(answers[0] - answers[1]).max() < 0.05
    assert answers[1].dtype == np.float32
