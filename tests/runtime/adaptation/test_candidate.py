"""A candidate serves only while it is trusted; either way the learner goes on from the last one that was good."""

import numpy as np
import pytest
import torch
from torch import nn

from models.trainable import adaptable_tensors, replica
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.recollection import CONFIRM_FRAMES, FIRST_STEPS, Recollection
from runtime.adaptation.stream_statistics import StreamStatistics
from runtime.events import Recall, TrustChanged
from runtime.library import DomainLibrary
from runtime.state import flatten, unflatten
from runtime.trust import READINGS
from runtime.weights import VersionedWeights
from tests.fakes import make_frame, make_prediction, make_source
from tests.runtime.adaptation.samples import candidate_of, make_student


@pytest.fixture
def student() -> nn.Module:
    return make_student()


def learnt(student: nn.Module, *, is_trusted: bool) -> tuple[Candidate, VersionedWeights]:
    """A candidate a tenth beyond the source in every weight, submitted at frame 5."""
    weights = VersionedWeights(adaptable_tensors(student))
    candidate = candidate_of(student, weights, is_trusted=is_trusted)
    trained = {name: tensor * 1.1 for name, tensor in weights.source.tensors.items()}
    candidate.follow(trained, share=1.0)
    assert candidate.submit(5) == ("applied" if is_trusted else "shadowed", "")
    return candidate, weights


def holds(tensors: dict, expected: dict, factor: float) -> bool:
    return all(torch.allclose(tensors[name], tensor * factor) for name, tensor in expected.items())


def test_a_trusted_candidate_is_published(student: nn.Module) -> None:
    _, weights = learnt(student, is_trusted=True)
    assert weights.latest.number == 1 and weights.latest.frame_index == 5
    assert holds(weights.latest.tensors, weights.source.tensors, 1.1)


def test_an_untrusted_candidate_stays_in_the_shadow_but_is_kept(student: nn.Module) -> None:
    candidate, weights = learnt(student, is_trusted=False)
    assert weights.latest is weights.source
    assert holds(candidate.good, weights.source.tensors, 1.1)


def test_disagreement_on_frames_publishes_it_and_agreement_falls_back(student: nn.Module) -> None:
    candidate, weights = learnt(student, is_trusted=False)
    prediction = make_prediction()  # of version 0: what the frozen model says is all class 1
    *weighed, change = (
        event
        for _ in range(READINGS)
        for event in candidate.weigh(prediction, np.full((32, 64), 9, np.uint8), distance=3.0)
    )
    assert [(event.agreement, event.num_forwards) for event in weighed] == [(0.0, 2)] * READINGS
    assert change.is_adapted and change.version == weights.latest.number == 1
    served = make_prediction(version=1)
    *weighed, change = (
        event for _ in range(2) for event in candidate.weigh(served, served.labels_HW, distance=3.0)
    )  # two of the last three agree
    assert [(event.agreement, event.num_forwards) for event in weighed] == [(1.0, 1)] * 2
    assert not change.is_adapted and change.agreement == 1.0 and change.version == 0
    assert weights.latest is weights.source


def test_as_much_serves_as_is_trusted_now_without_waiting_for_a_step(student: nn.Module) -> None:
    candidate, weights = learnt(student, is_trusted=False)
    frozen_HW = np.full((32, 64), 9, np.uint8)
    for _ in range(READINGS):
        candidate.weigh(make_prediction(), frozen_HW, distance=1.4)
    assert holds(weights.latest.tensors, weights.source.tensors, 1.04)
    (mixed,) = candidate.weigh(make_prediction(version=1), frozen_HW, distance=3.0)
    assert mixed.num_forwards == 2, "the answer was not that of all that was learnt"
    assert weights.latest.number == 2 and holds(weights.latest.tensors, weights.source.tensors, 1.1)
    (whole,) = candidate.weigh(make_prediction(version=2), frozen_HW, distance=3.0)
    assert whole.num_forwards == 1 and weights.latest.number == 2, "nothing moved"
    candidate.weigh(make_prediction(version=2), frozen_HW, distance=1.2)
    assert holds(weights.latest.tensors, weights.source.tensors, 1.02)


def test_versions_are_counted_on_after_a_fall_back(student: nn.Module) -> None:
    candidate, weights = learnt(student, is_trusted=True)
    assert weights.fall_back() is weights.source
    assert weights.publish(candidate.good, frame_index=8).number == 2
    assert weights.latest.parent == 0


def test_a_refused_average_gives_way_to_the_last_good_one(student: nn.Module) -> None:
    candidate, weights = learnt(student, is_trusted=True)
    candidate.follow({name: tensor * 9 for name, tensor in weights.source.tensors.items()}, share=1.0)
    outcome, reason = candidate.submit(6)
    assert outcome == "refused_guard" and "drifted" in reason and weights.latest.number == 1
    candidate.restore()
    assert candidate.submit(7) == ("applied", "") and holds(weights.latest.tensors, weights.source.tensors, 1.1)


def test_starting_over_leaves_the_source(student: nn.Module) -> None:
    candidate, weights = learnt(student, is_trusted=True)
    candidate.start_over()
    assert weights.latest is weights.source and holds(candidate.good, weights.source.tensors, 1.0)


RAIN, CLEAR = np.array([3.0]), np.array([0.0])
MEAN = "head.bn.running_mean"


def domains() -> DomainLibrary:
    """On a line on which the source is at 0, its threshold at 1."""
    return DomainLibrary(make_source(np.zeros(1), np.eye(1)), capacity_bytes=2**24)


def learnt_in_rain(
    student: nn.Module, library: DomainLibrary, *, is_trusted: bool, looks_F: np.ndarray = RAIN
) -> tuple[Candidate, VersionedWeights]:
    """A tenth beyond the source, submitted often enough to be kept, worth serving or not, and then left."""
    weights = VersionedWeights(adaptable_tensors(student))
    candidate = candidate_of(student, weights, is_trusted=False, recollection=Recollection(library))
    candidate.follow({name: tensor * 1.1 for name, tensor in weights.source.tensors.items()}, share=1.0)
    if is_trusted:
        for _ in range(READINGS):
            candidate.weigh(make_prediction(), np.full((32, 64), 9, np.uint8), distance=looks_F.item())
    for frame_index in range(FIRST_STEPS):
        candidate.recall(frame_index, looks_F)
        candidate.submit(frame_index, looks_F)
    candidate.distrust(90)
    candidate.start_over()
    assert weights.latest.number == 0 and len(library.domains) == 1
    return candidate, weights


def recalled(candidate: Candidate, features_F: np.ndarray = RAIN) -> list[Recall | TrustChanged]:
    return [event for index in range(100, 100 + CONFIRM_FRAMES) for event in candidate.recall(index, features_F)]


def test_a_domain_worth_serving_serves_at_once_when_it_returns(student: nn.Module) -> None:
    candidate, weights = learnt_in_rain(student, domains(), is_trusted=True)
    recall, change = recalled(candidate)
    latest = weights.latest
    assert isinstance(recall, Recall) and recall.version == latest.number > 0 and not recall.refusal
    assert isinstance(change, TrustChanged) and change.is_adapted and change.agreement == 0.0
    assert holds(latest.tensors, weights.source.tensors, 1.1) and latest.appearance_F == pytest.approx(RAIN)
    assert latest.frame_index == recall.frame_index == 99 + CONFIRM_FRAMES and candidate.is_at_home
    assert holds(candidate.good, weights.source.tensors, 1.1)


def test_a_domain_not_worth_serving_returns_in_the_shadow(student: nn.Module) -> None:
    candidate, weights = learnt_in_rain(student, domains(), is_trusted=False)
    (recall,) = recalled(candidate)
    assert isinstance(recall, Recall) and recall.version == 0 and weights.latest is weights.source
    assert holds(candidate.good, weights.source.tensors, 1.1)


def test_of_a_domain_near_the_source_as_much_serves_when_it_returns_as_is_away_from_the_source(
    student: nn.Module,
) -> None:
    drizzle_F = np.array([1.5])
    candidate, weights = learnt_in_rain(student, domains(), is_trusted=True, looks_F=drizzle_F)
    recalled(candidate, drizzle_F)
    assert holds(weights.latest.tensors, weights.source.tensors, 1.05)
    assert holds(candidate.good, weights.source.tensors, 1.1)


def test_what_an_unknown_frame_looks_like_brings_nothing(student: nn.Module) -> None:
    candidate, weights = learnt_in_rain(student, domains(), is_trusted=True)
    assert recalled(candidate, CLEAR) == recalled(candidate, np.array([9.0])) == []
    assert weights.latest is weights.source and not candidate.is_at_home


def under_statistics(student: nn.Module) -> tuple[Candidate, VersionedWeights]:
    """Rain is known; a frame of another weather, as far away, is the newest."""
    weights, library = VersionedWeights(adaptable_tensors(student)), domains()
    statistics = StreamStatistics(replica(student), weights.source.tensors, make_source(np.zeros(1), np.eye(1)))
    library.remember(RAIN, weights.source.tensors, agreement=0.1, num_frames=9)
    recollection = Recollection(library)
    candidate = candidate_of(student, weights, is_trusted=False, recollection=recollection, statistics=statistics)
    taken = candidate.follow_stream(make_frame(5), -RAIN, period=1)
    assert taken is not None and (taken.frame_index, taken.share, taken.version) == (5, 1.0, 1)
    assert not torch.equal(weights.latest.tensors[MEAN], weights.source.tensors[MEAN])
    return candidate, weights


def test_a_domain_returns_without_the_statistics_of_another_weather(student: nn.Module) -> None:
    candidate, weights = under_statistics(student)
    recalled(candidate)
    assert torch.equal(weights.latest.tensors[MEAN], weights.source.tensors[MEAN]) and weights.latest.number > 1
    assert candidate.follow_stream(make_frame(101), RAIN, period=1) is not None


def test_steps_and_trust_go_on_under_the_streams_statistics_and_starting_over_ends_them(student: nn.Module) -> None:
    candidate, weights = under_statistics(student)
    before = weights.latest.tensors[MEAN]
    assert candidate.submit(5, -RAIN) == ("shadowed", "") and torch.equal(weights.latest.tensors[MEAN], before)
    frozen_HW = np.full((32, 64), 9, np.uint8)
    for _ in range(READINGS):
        candidate.weigh(make_prediction(), frozen_HW, distance=3.0)
    assert weights.latest.number == 3 and torch.equal(weights.latest.tensors[MEAN], before)
    assert torch.equal(candidate.good[MEAN], weights.source.tensors[MEAN])
    candidate.start_over()
    assert weights.latest is weights.source


def test_trust_of_a_returned_domain_is_lost_by_readings_and_for_the_next_visit_too(student: nn.Module) -> None:
    library = domains()
    candidate, weights = learnt_in_rain(student, library, is_trusted=True)
    recalled(candidate)
    served = make_prediction(version=weights.latest.number)
    *_, change = (event for _ in range(READINGS) for event in candidate.weigh(served, served.labels_HW, distance=3.0))
    assert isinstance(change, TrustChanged) and weights.latest is weights.source
    assert library.domains[0].agreement == 1.0
    candidate.start_over()
    assert [type(event) for event in recalled(candidate)] == [Recall] and weights.latest is weights.source


def test_library_candidate_and_versions_share_no_memory(student: nn.Module) -> None:
    library = domains()
    candidate, weights = learnt_in_rain(student, library, is_trusted=True)
    recalled(candidate)
    served, kept = weights.latest.tensors, library.domains[0].tensors
    before = {name: tensor.clone() for name, tensor in served.items()}
    candidate.follow({name: tensor * 7 for name, tensor in weights.source.tensors.items()}, share=1.0)
    assert all(torch.equal(served[name], tensor) and torch.equal(kept[name], tensor) for name, tensor in before.items())
    assert candidate.good is served  # what serves is what is good: one set, which nobody writes to
    groups = (served, kept, weights.source.tensors)
    places = [tensor.untyped_storage().data_ptr() for group in groups for tensor in group.values()]
    assert len(set(places)) == len(places)


def test_a_domain_the_guard_refuses_is_told_and_forgotten(student: nn.Module) -> None:
    library = domains()
    weights = VersionedWeights(adaptable_tensors(student))
    spoilt = {name: tensor * float("nan") for name, tensor in weights.source.tensors.items()}
    library.remember(RAIN, spoilt, agreement=0.1, num_frames=9)
    candidate = candidate_of(student, weights, is_trusted=False, recollection=Recollection(library))
    (recall,) = recalled(candidate)
    assert isinstance(recall, Recall) and recall.refusal == "non-finite weights" and recall.version == 0
    assert library.domains == () and weights.latest is weights.source
    assert candidate.submit(7, RAIN) == ("shadowed", "") and holds(candidate.good, weights.source.tensors, 1.0)


def test_a_candidate_goes_on_from_its_state_with_its_library(student: nn.Module) -> None:
    candidate, weights = learnt_in_rain(student, domains(), is_trusted=True)
    other = candidate_of(student, weights, is_trusted=False, recollection=Recollection(domains()))
    other.load_state(unflatten(*flatten(candidate.state())))
    assert [type(event) for event in recalled(other)] == [Recall, TrustChanged]
    assert holds(weights.latest.tensors, weights.source.tensors, 1.1)
