"""The library keeps what was learnt by the look of its frames: near ones merge, the least valuable go, none is lost."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runtime.library import MERGE_SHARE, DomainLibrary
from runtime.state import flatten, unflatten
from tests.fakes import make_source

# Distances in the plane around (0, 0), the source, in units of the edge.
PLANE = make_source(np.zeros(2), np.eye(2) * 2 * math.sqrt(2), threshold=2.0)
DOMAIN_BYTES = 2 * 8 + 3 * 4  # two features, three weights

points = st.tuples(st.floats(-6, 6), st.floats(-6, 6)).map(np.array)
agreements = st.floats(0, 1) | st.just(math.nan)


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"head.x": torch.full((2,), float(value)), "head.y": torch.tensor([value / 3])}


def library_of(num_domains: float) -> DomainLibrary:
    return DomainLibrary(PLANE, capacity_bytes=int(num_domains * DOMAIN_BYTES))


def numbers(library: DomainLibrary) -> list[int]:
    return [domain.number for domain in library.domains]


def test_a_frame_finds_the_domain_it_looks_like() -> None:
    library = library_of(9)
    rain = library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=5)
    night = library.remember(np.array([0.0, 3.0]), weights(2), agreement=0.5, num_frames=5)
    found = library.find(np.array([2.5, 0.0]))
    assert found is not None and found.domain.number == rain != night
    assert found.distance == pytest.approx(0.5) and torch.equal(found.domain.tensors["head.x"], torch.ones(2))


@pytest.mark.parametrize("frame", [(0.9, 0.0), (0.0, 0.95), (4.1, 0.0), (-2.0, 0.0)])
def test_a_frame_of_the_source_or_of_no_domain_finds_nothing(frame: tuple[float, float]) -> None:
    library = library_of(9)
    library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=5)
    library.remember(np.array([0.0, 1.8]), weights(2), agreement=0.5, num_frames=5)
    assert library.find(np.array(frame)) is None


def test_what_is_learnt_again_replaces_what_was_learnt_before_and_keeps_its_past() -> None:
    library = library_of(9)
    first = library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=5)
    library.note_recall(first)
    again = library.remember(np.array([3.4, 0.0]), weights(2), agreement=0.9, num_frames=7)
    (domain,) = library.domains
    assert again == first and torch.equal(domain.tensors["head.x"], torch.full((2,), 2.0))
    assert (domain.num_frames, domain.num_recalls, domain.agreement) == (12, 1, 0.9)
    assert domain.appearance_F.tolist() == [3.4, 0.0]


def test_a_domain_between_two_makes_them_one() -> None:
    library = library_of(9)
    first = library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=5)
    second = library.remember(np.array([3.9, 0.0]), weights(2), agreement=0.5, num_frames=6)
    assert numbers(library) == [first, second]
    assert library.remember(np.array([3.45, 0.1]), weights(3), agreement=0.5, num_frames=7) in (first, second)
    (domain,) = library.domains
    assert domain.num_frames == 18 and domain.tensors["head.x"].tolist() == [3.0, 3.0]


def test_the_least_valuable_domain_goes_first() -> None:
    library = library_of(2.5)
    rare = library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=10)
    often = library.remember(np.array([0.0, 3.0]), weights(2), agreement=0.5, num_frames=10)
    library.note_recall(often)
    new = library.remember(np.array([-3.0, 0.0]), weights(3), agreement=0.99, num_frames=1)
    assert numbers(library) == [often, new] and library.find(np.array([3.0, 0.0])) is None
    newer = library.remember(np.array([0.0, -3.0]), weights(4), agreement=math.nan, num_frames=1)
    assert numbers(library) == [often, newer] and rare not in numbers(library)


def test_a_domain_larger_than_the_bound_is_not_kept_and_costs_no_other() -> None:
    library = library_of(1.5)
    small = library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=5)
    large = {"head.x": torch.zeros(99)}
    assert library.remember(np.array([0.0, 3.0]), large, agreement=0.5, num_frames=5) is None
    assert library.remember(np.array([3.0, 0.0]), large, agreement=0.5, num_frames=5) is None
    assert numbers(library) == [small]


def test_kept_weights_are_copies() -> None:
    library, learnt, appearance_F = library_of(9), weights(1), np.array([3.0, 0.0])
    library.remember(appearance_F, learnt, agreement=0.5, num_frames=5)
    learnt["head.x"].fill_(9.0)
    appearance_F[:] = 9.0
    (domain,) = library.domains
    assert domain.tensors["head.x"].tolist() == [1.0, 1.0] and domain.appearance_F.tolist() == [3.0, 0.0]


def test_a_domain_may_be_forgotten_or_judged_anew() -> None:
    library = library_of(9)
    number = library.remember(np.array([3.0, 0.0]), weights(1), agreement=0.5, num_frames=5)
    library.note_agreement(number, 0.95)
    library.note_agreement(number, math.nan)
    assert library.domains[0].agreement == 0.95
    library.remember(np.array([3.0, 0.1]), weights(2), agreement=math.nan, num_frames=1)
    assert library.domains[0].agreement == 0.95
    library.forget(number)
    library.note_recall(number)
    assert library.domains == () and library.num_bytes == 0


def test_a_bound_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"library.capacity_bytes must be 0 or more, got -1"):
        DomainLibrary(PLANE, capacity_bytes=-1)


@given(st.lists(st.tuples(points, agreements, st.integers(0, 50), st.booleans()), max_size=12), st.floats(0, 5))
def test_whatever_is_remembered_the_bound_holds_and_kept_domains_differ(
    visits: list[tuple[np.ndarray, float, int, bool]], num_domains: float
) -> None:
    library = library_of(num_domains)
    for value, (point_F, agreement, num_frames, returns) in enumerate(visits):
        number = library.remember(point_F, weights(value), agreement=agreement, num_frames=num_frames)
        assert library.num_bytes <= num_domains * DOMAIN_BYTES and (number is None) == (num_domains < 1)
        kept = library.domains
        assert len(set(numbers(library))) == len(kept)
        for place, domain in enumerate(kept):
            gaps = [np.linalg.norm(domain.appearance_F - other.appearance_F) for other in kept[:place]]
            assert all(gap > MERGE_SHARE - 1e-9 for gap in gaps)
        if number is not None and np.linalg.norm(point_F) > 1.001:
            found = library.find(point_F)
            assert found is not None and found.domain.number == number and found.distance == 0.0
            assert found.domain.tensors["head.x"][0] == value
            if returns:
                library.note_recall(number)


@given(st.lists(points, min_size=1, max_size=8), st.lists(points, max_size=5))
def test_looking_changes_nothing_and_a_state_gives_the_same_library(
    remembered: list[np.ndarray], frames: list[np.ndarray]
) -> None:
    library, other = library_of(5), library_of(5)
    for value, point_F in enumerate(remembered):
        library.remember(point_F, weights(value), agreement=0.5, num_frames=value)
    before = library.domains
    other.load_state(unflatten(*flatten(library.state())))
    for frame_F in frames:
        found, again, there = library.find(frame_F), library.find(frame_F), other.find(frame_F)
        assert library.domains is before
        assert (found is None) == (there is None) == (again is None)
        if found is not None and there is not None and again is not None:
            assert found.domain is again.domain and found.distance == again.distance == there.distance
            assert all(torch.equal(there.domain.tensors[name], held) for name, held in found.domain.tensors.items())
    assert other.remember(np.array([9.0, 9.0]), weights(1), agreement=0.5, num_frames=1) == library.remember(
        np.array([9.0, 9.0]), weights(1), agreement=0.5, num_frames=1
    )


def test_a_smaller_library_takes_over_the_most_valuable_of_a_state() -> None:
    library, smaller = library_of(3), library_of(1)
    for number, num_frames in enumerate((1, 8, 3)):
        library.remember(np.array([3.0 * number + 2, 0.0]), weights(number), agreement=0.5, num_frames=num_frames)
    smaller.load_state(library.state())
    assert numbers(smaller) == [2]


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state of a domain library"):
        library_of(1).load_state({"domains": 3})
    with pytest.raises(ValueError, match="not the state of a kept domain"):
        library_of(1).load_state({"next_number": 1, "domains": [{"number": 1}]})
