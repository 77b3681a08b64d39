"""A method joined with components: extra terms of its loss, and rules its weights follow after every step.

    method = Composed(StyledReplay(...), terms={"mic": MaskedConsistency(...)}, rules={"merge": MergeToSource(...)})

The loss is the method's plus every term's; a term weighs itself, and trains only what the method trains in that step
(HAMLET lets stages rest). Rules settle after the method, in their order; one with `prepare(student, target)` is told of
the frame before anything is learnt from it. Where the method has no loss for a frame there is no step, and terms are
not asked: the method says what is learnt from.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn

from models.segformer import SegmentationModel
from models.trainable import only_learning
from runtime.adaptation.method import Method, Target
from runtime.state import State, restore, state_of


class Term(Protocol):
    """One more loss to learn from, differentiable as a method's; None where a frame has nothing for it."""

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None: ...


class Rule(Protocol):
    """What is done to the student's weights after the descent, before they are averaged."""

    def settle(self, student: SegmentationModel) -> None: ...


@runtime_checkable
class Preparing(Protocol):
    """A rule that has something to undo, or to note, before the losses."""

    def prepare(self, student: SegmentationModel, target: Target) -> None: ...


class Composed(Method):
    """Owns what it is made of; each part that has a state keeps it under its own name."""

    def __init__(
        self, method: Method, *, terms: Mapping[str, Term] | None = None, rules: Mapping[str, Rule] | None = None
    ) -> None:
        self._method = method
        self._terms = dict(terms or {})
        self._rules = dict(rules or {})

    def loss(self, student: SegmentationModel, target: Target) -> Tensor | None:
        """The sum of what method and terms give."""
        for rule in self._rules.values():
            if isinstance(rule, Preparing):
                rule.prepare(student, target)
        total = self._method.loss(student, target)
        if total is None:
            return None
        with only_learning(student, self._method.learning(student)):
            for term in self._terms.values():
                more = term.loss(student, target)
                if more is not None:
                    total = total + more
        return total

    def rate(self) -> float:
        """The method's."""
        return self._method.rate()

    def learning(self, student: SegmentationModel) -> Sequence[nn.Parameter]:
        """What the method trains."""
        return self._method.learning(student)

    def settle(self, student: SegmentationModel) -> None:
        """The method's own, then every rule."""
        self._method.settle(student)
        for rule in self._rules.values():
            rule.settle(student)

    def starts_over(self) -> bool:
        """The method's."""
        return self._method.starts_over()

    def state(self) -> State:
        """Of the method and of all parts that keep one."""
        parts: State = {name: state_of(part) for name, part in self._parts().items()}
        return {"method": state_of(self._method), "parts": parts}

    def load_state(self, state: State) -> None:
        """Go on from `state`; ValueError where it is of other components."""
        match state:
            case {"method": dict(method), "parts": dict(states)} if states.keys() == self._parts().keys():
                restore(self._method, method)
                for name, part in self._parts().items():
                    restore(part, cast(State, states[name]))
            case _:
                raise ValueError(f"not the state of a method with {', '.join(self._parts())}: {sorted(state)}")

    def _parts(self) -> dict[str, Term | Rule]:
        return {**self._terms, **self._rules}
