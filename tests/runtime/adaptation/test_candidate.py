"""A candidate serves only while it is trusted; either way the learner goes on from the last one that was good."""

import numpy as np
import pytest
import torch
from torch import nn

from models.trainable import adaptable_tensors
from runtime.adaptation.candidate import Candidate
from runtime.trust import READINGS
from runtime.weights import VersionedWeights
from tests.fakes import make_prediction
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
    changes = [candidate.weigh(prediction, np.full((32, 64), 9, np.uint8)) for _ in range(READINGS)]
    assert changes[:-1] == [None] * (READINGS - 1)
    assert changes[-1].is_adapted and changes[-1].version == weights.latest.number == 1
    served = make_prediction(version=1)
    changes = [candidate.weigh(served, served.labels_HW) for _ in range(READINGS)]
    (change,) = (change for change in changes if change is not None)
    assert not change.is_adapted and change.agreement == 1.0 and change.version == 0
    assert weights.latest is weights.source


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
