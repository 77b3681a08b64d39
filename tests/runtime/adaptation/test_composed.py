"""A method joined with components: losses add up, rules follow in turn, states travel by name."""

import pytest
import torch
from torch import nn

from runtime.adaptation.composed import Composed
from runtime.adaptation.method import Method
from tests.runtime.adaptation.samples import make_target


class Scaled(Method):
    """A loss of `factor` times the weight; settling adds `factor` to it."""

    def __init__(self, factor: float, *, rate: float = 1.0) -> None:
        self.factor = factor
        self._rate = rate

    def loss(self, student, _):
        return None if self.factor == 0 else self.factor * student.weight.sum()

    def rate(self):
        return self._rate

    def settle(self, student):
        with torch.no_grad():
            student.weight.add_(self.factor)


class Counting(Scaled):
    """Counts what it was asked, and keeps the count."""

    num_asked = 0

    def loss(self, student, _):
        self.num_asked += 1
        return super().loss(student, _)

    def state(self):
        return {"num_asked": self.num_asked}

    def load_state(self, state):
        self.num_asked = state["num_asked"]


class Doubling:
    def settle(self, student):
        with torch.no_grad():
            student.weight.mul_(2)


@pytest.fixture
def student():
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def test_the_loss_is_the_sum_and_so_is_its_gradient(student) -> None:
    method = Composed(Scaled(1.0), terms={"a": Scaled(2.0), "nothing": Scaled(0.0), "b": Scaled(4.0)})
    loss = method.loss(student, make_target())
    loss.backward()
    assert float(loss.detach()) == float(student.weight.grad) == 7.0


def test_without_a_loss_of_the_method_terms_are_not_asked(student) -> None:
    term = Counting(1.0)
    assert Composed(Scaled(0.0), terms={"term": term}).loss(student, make_target()) is None
    assert term.num_asked == 0


def test_terms_train_only_what_the_method_trains_in_that_step() -> None:
    class OfTheFirst(Scaled):
        def loss(self, student, _):
            return student[0].weight.sum()

        def learning(self, student):
            return [student[0].weight]

    class OfBoth:
        def loss(self, student, _):
            return student[0].weight.sum() + student[1].weight.sum()

    student = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    Composed(OfTheFirst(1.0), terms={"both": OfBoth()}).loss(student, make_target()).backward()
    assert float(student[0].weight.grad) == 2.0 and student[1].weight.grad is None
    assert all(parameter.requires_grad for parameter in student.parameters())


def test_rules_settle_after_the_method_in_their_order(student) -> None:
    Composed(Scaled(1.0), rules={"double": Doubling(), "add": Scaled(3.0)}).settle(student)
    assert float(student.weight.detach()) == (1 + 1) * 2 + 3


def test_terms_do_not_settle_and_rules_have_no_loss(student) -> None:
    method = Composed(Scaled(1.0), terms={"term": Scaled(2.0)}, rules={"rule": Scaled(4.0)})
    assert float(method.loss(student, make_target()).detach()) == 3.0
    method.settle(student)
    assert float(student.weight.detach()) == 1 + 1 + 4


def test_the_rate_is_the_methods() -> None:
    assert Composed(Scaled(1.0, rate=0.25), terms={"term": Scaled(1.0)}).rate() == 0.25


def test_states_travel_by_name(student) -> None:
    def make():
        return Composed(Counting(1.0), terms={"term": Counting(1.0)}, rules={"double": Doubling()})

    method, other = make(), make()
    for _ in range(3):
        method.loss(student, make_target())
    other.load_state(method.state())
    assert other.state() == method.state()
    assert other.state() == {"method": {"num_asked": 3}, "parts": {"term": {"num_asked": 3}, "double": {}}}


def test_a_state_of_other_components_is_refused() -> None:
    state = Composed(Scaled(1.0), terms={"a": Scaled(1.0)}).state()
    with pytest.raises(ValueError, match="not the state of a method with b"):
        Composed(Scaled(1.0), terms={"b": Scaled(1.0)}).load_state(state)


def test_the_optimizer_forgets_where_the_method_says_so() -> None:
    class Returning(Scaled):
        def starts_over(self):
            return True

    assert Composed(Returning(1.0), rules={"doubling": Doubling()}).starts_over()
    assert not Composed(Scaled(1.0), rules={"doubling": Doubling()}).starts_over()
