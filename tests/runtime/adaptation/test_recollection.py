"""What a stretch taught is kept as it goes, and comes back when frames in a row look like it, not like the present."""

import math

import numpy as np
import pytest
import torch

from runtime.adaptation.recollection import CONFIRM_FRAMES, EVERY_STEPS, FIRST_STEPS, Recollection
from runtime.library import DomainLibrary
from runtime.state import flatten, unflatten
from tests.fakes import make_source

RAIN, NIGHT, CLEAR = np.array([3.0, 0.0]), np.array([0.0, 3.0]), np.array([0.0, 0.0])


def new_library() -> DomainLibrary:
    """In the plane around the source, distances in units of its edge."""
    source = make_source(np.zeros(2), np.eye(2) * math.sqrt(2))
    return DomainLibrary(source, capacity_bytes=9999)


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"head.x": torch.tensor([value])}


def learn(recollection: Recollection, at_F: np.ndarray, *, steps: int, first: int = 1) -> None:
    """One look and one step per frame; the weights count the steps."""
    for step in range(first, first + steps):
        recollection.look(at_F)
        recollection.learnt(weights(step), agreement=0.4)


@pytest.fixture
def library() -> DomainLibrary:
    return new_library()


@pytest.fixture
def recollection(library: DomainLibrary) -> Recollection:
    """Ten steps in rain, then back at the source."""
    recollection = Recollection(library)
    learn(recollection, RAIN, steps=FIRST_STEPS)
    recollection.leave()
    recollection.look(CLEAR)
    return recollection


def test_a_stretch_is_kept_after_its_first_steps_and_every_few_more(library: DomainLibrary) -> None:
    recollection = Recollection(library)
    kept = []
    for step in range(1, FIRST_STEPS + EVERY_STEPS + 2):
        learn(recollection, RAIN, steps=1, first=step)
        kept.append([float(domain.tensors["head.x"]) for domain in library.domains])
    assert kept[: FIRST_STEPS - 1] == [[]] * (FIRST_STEPS - 1)
    assert kept[FIRST_STEPS - 1 :] == [*[[FIRST_STEPS]] * EVERY_STEPS, *[[FIRST_STEPS + EVERY_STEPS]] * 2]


def test_frames_of_a_stretch_are_counted_once(library: DomainLibrary) -> None:
    learn(Recollection(library), RAIN, steps=FIRST_STEPS + EVERY_STEPS)
    (domain,) = library.domains
    assert domain.num_frames == FIRST_STEPS + EVERY_STEPS


def test_steps_elsewhere_begin_another_stretch(library: DomainLibrary) -> None:
    recollection = Recollection(library)
    learn(recollection, RAIN, steps=FIRST_STEPS)
    learn(recollection, NIGHT, steps=CONFIRM_FRAMES - 1 + FIRST_STEPS - 1)
    assert len(library.domains) == 1
    learn(recollection, NIGHT, steps=1, first=99)
    rain, night = library.domains
    assert rain.appearance_F.tolist() == [3.0, 0.0] and float(rain.tensors["head.x"]) == FIRST_STEPS
    assert night.appearance_F == pytest.approx(NIGHT) and float(night.tensors["head.x"]) == 99.0


def test_an_odd_frame_ends_no_stretch(library: DomainLibrary) -> None:
    recollection = Recollection(library)
    learn(recollection, RAIN, steps=FIRST_STEPS - 1)
    learn(recollection, NIGHT, steps=CONFIRM_FRAMES - 1)
    learn(recollection, RAIN, steps=1, first=FIRST_STEPS)
    (domain,) = library.domains
    assert domain.appearance_F.tolist() == [3.0, 0.0] and float(domain.tensors["head.x"]) == FIRST_STEPS


def test_what_looks_like_the_source_is_no_domain(library: DomainLibrary) -> None:
    recollection = Recollection(library)
    learn(recollection, np.array([0.9, 0.0]), steps=FIRST_STEPS + EVERY_STEPS)
    assert library.domains == () and not recollection.is_at_home


def test_frames_in_a_row_bring_a_domain_back(recollection: Recollection, library: DomainLibrary) -> None:
    found = [recollection.look(RAIN) for _ in range(CONFIRM_FRAMES)]
    assert found[:-1] == [None] * (CONFIRM_FRAMES - 1) and found[-1] is not None
    assert not recollection.is_at_home
    recollection.take_up(found[-1])
    assert recollection.is_at_home and library.domains[0].num_recalls == 1
    assert recollection.look(RAIN) is None and recollection.is_at_home


def test_odd_frames_bring_nothing_back(recollection: Recollection) -> None:
    for _ in range(3):
        assert recollection.look(RAIN) is None
        assert recollection.look(CLEAR) is None


def test_near_what_is_being_learnt_nothing_comes_back(recollection: Recollection, library: DomainLibrary) -> None:
    near_F = np.array([3.0, 0.9])
    learn(recollection, near_F, steps=3)
    assert [recollection.look(RAIN) for _ in range(5)] == [None] * 5
    assert recollection.is_at_home and library.domains[0].num_recalls == 0


def test_a_stretch_goes_on_from_what_came_back(recollection: Recollection, library: DomainLibrary) -> None:
    recollection.look(RAIN)
    found = recollection.look(RAIN)
    assert found is not None
    recollection.take_up(found)
    learn(recollection, RAIN, steps=EVERY_STEPS, first=50)
    (domain,) = library.domains
    assert domain.number == found.domain.number and float(domain.tensors["head.x"]) == 49 + EVERY_STEPS
    assert domain.num_frames == FIRST_STEPS + EVERY_STEPS


def test_what_is_of_no_use_does_not_come_back_again(recollection: Recollection, library: DomainLibrary) -> None:
    recollection.look(RAIN)
    found = recollection.look(RAIN)
    assert found is not None
    recollection.forget(found)
    assert library.domains == () and [recollection.look(RAIN) for _ in range(4)] == [None] * 4


def test_readings_count_for_the_domain_they_were_made_in(library: DomainLibrary) -> None:
    recollection = Recollection(library)
    learn(recollection, RAIN, steps=FIRST_STEPS)
    recollection.look(CLEAR)  # the rain is over, and frozen and adapted agree
    recollection.weighed(0.99)
    assert library.domains[0].agreement == 0.4
    recollection.look(RAIN)
    recollection.weighed(0.95)
    recollection.weighed(math.nan)
    assert library.domains[0].agreement == 0.95


def test_a_state_goes_on_in_the_midst_of_a_stretch_and_of_a_confirmation(recollection: Recollection) -> None:
    recollection.look(RAIN)
    other_library = new_library()
    other = Recollection(other_library)
    other.load_state(unflatten(*flatten(recollection.state())))
    found, there = recollection.look(RAIN), other.look(RAIN)
    assert found is not None and there is not None and there.domain.number == found.domain.number
    other.take_up(there)
    learn(other, RAIN, steps=EVERY_STEPS - 1)
    third_library = new_library()
    third = Recollection(third_library)
    third.load_state(other.state())
    learn(third, RAIN, steps=1, first=70)
    assert third.is_at_home and float(third_library.domains[0].tensors["head.x"]) == 70.0


def test_a_state_of_something_else_is_refused(recollection: Recollection) -> None:
    with pytest.raises(ValueError, match="not the state of a recollection"):
        recollection.load_state({"library": {}})
