"""The components there are, and how a method is joined with them."""

import pytest
import torch

from runtime.adaptation.components import COMPONENTS, Component, joined
from runtime.adaptation.composed import Composed
from runtime.adaptation.method import Method
from runtime.adaptation.methods import METHODS, Entry
from runtime.option_words import ConfigError
from tests.runtime.adaptation.samples import make_student, make_target, materials


class Constant(Method):
    def __init__(self, value):
        self.value = value

    def loss(self, *_):
        return torch.tensor(self.value)


def entry(track="source-free"):
    return Entry("constant", lambda _: Constant(1.0), track=track)


PARTS = {
    "plain": Component("a term", 2.0, term=lambda _, weight: Constant(weight)),
    "replaying": Component("another", 4.0, term=lambda _, weight: Constant(weight), needs_source=True),
    "reading": Component("a third", 8.0, term=lambda _, weight: Constant(weight), reads_source=True),
    "rule": Component("a rule", 1.0, rule=lambda _, weight: Constant(weight)),
}


def loss_of(entry):
    student = make_student()
    return float(entry.build(materials(student)).loss(student, make_target()))


def test_terms_come_at_their_own_weight_or_the_one_given() -> None:
    assert loss_of(joined(entry(), {"plain": None}, components=PARTS)) == 1 + 2
    assert loss_of(joined(entry(), {"plain": 0.5, "replaying": None}, components=PARTS)) == 1 + 0.5 + 4


def test_without_components_or_at_weight_zero_the_entry_is_as_it_was() -> None:
    given = entry()
    assert joined(given, {}, components=PARTS) is given
    assert joined(given, {"plain": 0.0, "rule": 0.0}, components=PARTS) is given


@pytest.mark.parametrize(
    ("track", "name", "expected"),
    [
        ("source-free", "plain", "source-free"),
        ("source-free", "rule", "source-free"),
        ("source-free", "replaying", "source-replay"),
        ("source-free", "reading", "source-once"),
        ("source-once", "replaying", "source-replay"),
        ("source-replay", "plain", "source-replay"),
        ("source-replay", "reading", "source-replay"),
        ("oracle", "replaying", "oracle"),
    ],
)
def test_replayed_source_samples_end_a_source_free_track(track, name, expected) -> None:
    assert joined(entry(track), {name: None}, components=PARTS).track == expected


def test_unknown_components_are_named_with_their_nearest() -> None:
    with pytest.raises(ConfigError, match="--with plane: no such component; nearest: plain"):
        joined(entry(), {"plane": None}, components=PARTS)


def test_a_method_that_never_learns_has_no_use_for_them() -> None:
    with pytest.raises(ConfigError, match="--with plain: the method never learns"):
        joined(METHODS["frozen"], {"plain": None}, components=PARTS)


def test_each_component_is_a_term_or_a_rule_with_a_weight_and_a_line_of_summary() -> None:
    for component in COMPONENTS.values():
        assert (component.term is None) != (component.rule is None)
        assert component.weight > 0 and component.summary and "\n" not in component.summary


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_takes_a_step_beside_a_method_and_repeats(name) -> None:
    def one_step():
        student = make_student("norm" if name == "prior" else "adapters+head")
        method = joined(METHODS["styled"], {name: None}).build(materials(student))
        assert isinstance(method, Composed)
        loss = method.loss(student, make_target())
        loss.backward()
        method.settle(student)
        learning = [parameter for parameter in student.parameters() if parameter.requires_grad]
        assert all(bool(torch.isfinite(p).all()) and bool(torch.isfinite(p.grad).all()) for p in learning)
        assert all(p.grad is None for p in student.parameters() if not p.requires_grad)
        return float(loss.detach()), [parameter.grad for parameter in learning]

    (loss, gradients), (again, same) = one_step(), one_step()
    assert loss == again and all(torch.equal(a, b) for a, b in zip(gradients, same, strict=True))
