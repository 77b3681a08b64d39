"""Between source and good weights as far as they are trusted, under the stream's statistics where it is far."""

import numpy as np
import pytest
import torch

from models.segformer import SegmentationModel
from models.trainable import adaptable_tensors, replica
from runtime.adaptation.service import Service
from runtime.adaptation.stream_statistics import FIRST_TAKES, FULL, TAKE_PERIOD, StreamStatistics
from runtime.state import flatten, unflatten
from runtime.weights import VersionedWeights, WriterRetired
from tests.fakes import make_frame, make_source
from tests.runtime.adaptation.samples import make_student

NEAR, FAR, LEARNT_FOR = np.array([0.5]), np.array([FULL + 1]), np.array([4.0])
MEAN, CLASSIFIER = "head.bn.running_mean", "head.classifier.weight"


@pytest.fixture
def model() -> SegmentationModel:
    return make_student()


@pytest.fixture
def weights(model: SegmentationModel) -> VersionedWeights:
    return VersionedWeights(adaptable_tensors(model))


@pytest.fixture
def service(model: SegmentationModel, weights: VersionedWeights) -> Service:
    return new_service(model, weights)


def new_service(model: SegmentationModel, weights: VersionedWeights) -> Service:
    appearance = make_source(np.zeros(1), np.eye(1))
    return Service(weights, StreamStatistics(replica(model), weights.source.tensors, appearance))


def learnt(weights: VersionedWeights) -> dict[str, torch.Tensor]:
    return {name: tensor * (1.0 if "running" in name else 1.5) for name, tensor in weights.source.tensors.items()}


def of_source(weights: VersionedWeights, name: str) -> float:
    """The newest version's tensor in multiples of the source's."""
    return float((weights.latest.tensors[name] / weights.source.tensors[name]).median())


def test_good_weights_serve_as_far_as_they_are_trusted(service: Service, weights: VersionedWeights) -> None:
    service.accept(learnt(weights), share=0.4, frame_index=3, appearance_F=LEARNT_FOR)
    assert of_source(weights, CLASSIFIER) == pytest.approx(1.2)
    assert weights.latest.frame_index == 3 and weights.latest.appearance_F is LEARNT_FOR
    service.serve(1.0, 4)
    assert of_source(weights, CLASSIFIER) == pytest.approx(1.5)
    assert service.good[CLASSIFIER] is weights.latest.tensors[CLASSIFIER], "what serves is not held twice"
    service.serve(0.0, 5)
    assert weights.latest is weights.source


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_weights_accepted_may_be_written_to_afterwards(service, weights, share: float) -> None:
    average = learnt(weights)
    service.accept(average, share=share, frame_index=3, appearance_F=None)
    average[CLASSIFIER].zero_()
    assert float(service.good[CLASSIFIER].abs().sum()) > 0


def test_a_publication_that_fails_leaves_the_good_weights_what_they_were(service, weights) -> None:
    service.retire()
    with pytest.raises(WriterRetired):
        service.accept(learnt(weights), share=1.0, frame_index=3, appearance_F=None)
    assert service.good is weights.source.tensors


def test_far_frames_serve_under_their_own_statistics_before_anything_is_learnt(service, weights) -> None:
    assert service.follow(make_frame(3), FAR, period=1) == 1.0
    version = weights.latest
    assert (version.number, version.frame_index) == (1, 3) and version.appearance_F is FAR
    assert not torch.equal(version.tensors[MEAN], weights.source.tensors[MEAN])
    assert torch.equal(version.tensors[CLASSIFIER], weights.source.tensors[CLASSIFIER])
    assert service.good is weights.source.tensors, "nothing was learnt"


def test_so_do_learnt_weights_which_themselves_keep_the_statistics_they_have(service, weights) -> None:
    service.follow(make_frame(3), FAR, period=1)
    service.accept(learnt(weights), share=1.0, frame_index=4, appearance_F=LEARNT_FOR)
    served = weights.latest.tensors
    assert of_source(weights, CLASSIFIER) == pytest.approx(1.5)
    assert not torch.equal(served[MEAN], weights.source.tensors[MEAN])
    assert torch.equal(service.good[MEAN], weights.source.tensors[MEAN])


def test_a_frame_near_the_source_ends_it(service, weights) -> None:
    service.follow(make_frame(3), FAR, period=1)
    assert service.follow(make_frame(4), NEAR, period=1) == 0.0
    assert weights.latest is weights.source
    service.accept(learnt(weights), share=1.0, frame_index=4, appearance_F=LEARNT_FOR)
    service.follow(make_frame(5), FAR, period=1)
    service.follow(make_frame(6), NEAR, period=1)
    assert torch.equal(weights.latest.tensors[MEAN], weights.source.tensors[MEAN])


def test_near_the_source_following_publishes_nothing(service, weights) -> None:
    service.accept(learnt(weights), share=1.0, frame_index=3, appearance_F=LEARNT_FOR)
    version = weights.latest
    assert [service.follow(make_frame(index), NEAR, period=1) for index in range(4, 7)] == [0.0] * 3
    assert weights.latest is version


def test_between_turns_nothing_is_published_while_the_distance_stays(service, weights) -> None:
    numbers = []
    for index in range(FIRST_TAKES + 3 * TAKE_PERIOD):
        service.follow(make_frame(index), FAR, period=1)
        numbers.append(weights.latest.number)
    assert len(set(numbers[-2 * TAKE_PERIOD :])) in (2, 3)


def test_falling_back_leaves_the_good_weights_and_starting_over_does_not(service, weights) -> None:
    service.accept(learnt(weights), share=1.0, frame_index=3, appearance_F=LEARNT_FOR)
    service.follow(make_frame(4), FAR, period=1)
    service.fall_back()
    assert weights.latest is weights.source and service.share == 0.0
    assert torch.equal(service.good[CLASSIFIER], learnt(weights)[CLASSIFIER])
    service.start_over()
    assert service.good is weights.source.tensors and service.appearance_F is None


def test_without_statistics_to_take_following_is_nothing(weights) -> None:
    service = Service(weights)
    assert service.follow(make_frame(3), FAR, period=1) == 0.0 and weights.latest is weights.source
    service.forget_stream()


def test_a_retired_service_publishes_no_statistics(service, weights) -> None:
    service.retire()
    with pytest.raises(WriterRetired):
        service.follow(make_frame(3), FAR, period=1)
    assert weights.latest is weights.source


def test_going_on_from_a_state_is_as_if_nothing_had_happened(model, service, weights) -> None:
    service.follow(make_frame(3), FAR, period=1)
    service.accept(learnt(weights), share=0.5, frame_index=4, appearance_F=LEARNT_FOR)
    other_weights = VersionedWeights(adaptable_tensors(model))
    other = new_service(model, other_weights)
    other_weights.load_state(unflatten(*flatten(weights.state())))
    other.load_state(unflatten(*flatten(service.state())))
    for each in (service, other):
        each.serve(0.75, 5)
        each.follow(make_frame(6), FAR, period=1)
    assert other_weights.latest.number == weights.latest.number and other.share == 0.75
    assert all(torch.equal(other_weights.latest.tensors[name], t) for name, t in weights.latest.tensors.items())
    with pytest.raises(ValueError, match="not the state of a service"):
        other.load_state({"share": 1.0})
