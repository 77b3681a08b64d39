"""The memory of RoTTA: bounds and balance hold whatever is offered, and it decides as its paper says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.category_memory import CategoryMemory

SIZE_HW = (2, 3)
K = 3
OFFERS = st.lists(st.tuples(st.integers(0, K - 1), st.floats(0.0, math.log(K))), max_size=40)


def make_memory(capacity: int = 6, **lambdas: float) -> CategoryMemory:
    return CategoryMemory(SIZE_HW, capacity=capacity, num_categories=K, **lambdas)


def image_of(value: int) -> torch.Tensor:
    return torch.full((*SIZE_HW, 3), value, dtype=torch.uint8)


def contents(memory: CategoryMemory) -> list[tuple[int, float]]:
    """(value, age in capacities) of everything held, by value."""
    images_BHWC, ages_B = memory.draw(10**6, torch.Generator())
    return sorted((int(image[0, 0, 0]), float(age)) for image, age in zip(images_BHWC, ages_B, strict=True))


class PlainMemory:
    """The paper's algorithm over Python lists: category, entropy, age and value of each item."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.items = capacity, []

    def badness(self, entropy: float, age: int) -> float:
        return 1 / (1 + math.exp(-age / self.capacity)) + entropy / math.log(K)

    def add(self, value: int, category: int, entropy: float) -> None:
        def held(wanted: int) -> int:
            return sum(item["category"] == wanted for item in self.items)

        rivals = None
        if held(category) >= self.capacity / K:
            rivals = [item for item in self.items if item["category"] == category]
        elif len(self.items) >= self.capacity:
            most = max(held(k) for k in range(K))
            rivals = [item for item in self.items if held(item["category"]) == most]
        is_in = rivals is None
        if rivals:
            worst = max(rivals, key=lambda item: self.badness(item["entropy"], item["age"]))
            if self.badness(worst["entropy"], worst["age"]) > self.badness(entropy, 0):
                self.items.remove(worst)
                is_in = True
        if is_in:
            self.items.append({"category": category, "entropy": entropy, "age": 0, "value": value})
        for item in self.items:
            item["age"] += 1


@given(offers=OFFERS, capacity=st.integers(1, 8))
@settings(max_examples=80, deadline=None)
def test_it_holds_what_the_papers_algorithm_holds(offers: list[tuple[int, float]], capacity: int) -> None:
    memory, plain = make_memory(capacity), PlainMemory(capacity)
    for value, (category, entropy) in enumerate(offers):
        memory.add(image_of(value), category=category, entropy=entropy)
        plain.add(value, category, entropy)
        expected = sorted((item["value"], item["age"] / capacity) for item in plain.items)
        assert contents(memory) == [(value, pytest.approx(age)) for value, age in expected]


@given(offers=OFFERS, capacity=st.integers(1, 8))
@settings(max_examples=80, deadline=None)
def test_neither_capacity_nor_a_categorys_share_is_exceeded(offers: list[tuple[int, float]], capacity: int) -> None:
    memory = make_memory(capacity)
    num_bytes = memory.num_bytes
    assert num_bytes == capacity * 2 * 3 * 3
    for value, (category, entropy) in enumerate(offers):
        before = memory.counts_K
        is_taken = memory.add(image_of(value), category=category, entropy=entropy)
        assert int(memory.counts_K.sum()) == len(memory) <= capacity
        assert int(memory.counts_K.max()) <= math.ceil(capacity / K)
        if before[category] < capacity / K and before.sum() < capacity:
            assert is_taken and len(memory) == int(before.sum()) + 1
        assert len(memory) >= int(before.sum()) and memory.num_bytes == num_bytes


def test_the_older_and_the_less_sure_give_way_first() -> None:
    memory = make_memory(capacity=6)  # two of each category
    for value, entropy in enumerate((0.5, 0.1)):
        memory.add(image_of(value), category=0, entropy=entropy)
    assert memory.add(image_of(2), category=0, entropy=0.2)
    assert [value for value, _ in contents(memory)] == [1, 2]  # 0.5 nats went, though 0.1 was as recent
    assert not memory.add(image_of(3), category=0, entropy=1.0)


def test_age_alone_decides_where_uncertainty_weighs_nothing() -> None:
    memory = make_memory(capacity=3, uncertainty=0.0)  # one of each category
    for value in range(3):
        assert memory.add(image_of(value), category=0, entropy=0.0)
        assert contents(memory) == [(value, pytest.approx(1 / 3))]


def test_a_new_category_takes_the_place_of_the_largest_ones_worst() -> None:
    memory = make_memory(capacity=4)  # up to two of each category
    for value, (category, entropy) in enumerate([(0, 0.1), (0, 0.9), (1, 1.0), (1, 0.2)]):
        memory.add(image_of(value), category=category, entropy=entropy)
    assert memory.add(image_of(9), category=2, entropy=0.0)
    assert [value for value, _ in contents(memory)] == [0, 1, 3, 9] and memory.counts_K.tolist() == [2, 1, 1]


def test_draws_are_of_different_images_and_follow_the_generator() -> None:
    memory = make_memory(capacity=30)
    for value in range(9):
        memory.add(image_of(value), category=value % K, entropy=0.1)
    draws = [memory.draw(5, torch.Generator().manual_seed(seed))[0][:, 0, 0, 0].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2] and len(set(draws[0])) == 5


@given(offers=OFFERS, later=OFFERS)
@settings(max_examples=30, deadline=None)
def test_a_memory_goes_on_from_its_state(offers: list[tuple[int, float]], later: list[tuple[int, float]]) -> None:
    first, second = make_memory(), make_memory()
    for value, (category, entropy) in enumerate(offers):
        first.add(image_of(value), category=category, entropy=entropy)
    state = first.state()
    second.load_state(state)
    for value, (category, entropy) in enumerate(later, start=100):
        for memory in (first, second):
            memory.add(image_of(value), category=category, entropy=entropy)
    assert contents(first) == contents(second)
    third = make_memory()
    third.load_state(state)  # a copy: what came later is not in it
    assert len(third) == len(state["images"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        CategoryMemory(SIZE_HW, capacity=0, num_categories=K)
    with pytest.raises(ValueError, match="another capacity"):
        make_memory(5).load_state(make_memory(6).state())
