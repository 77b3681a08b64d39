"""Segments: learning cut into pieces as short as one operation, with a boundary before each.

    with Segments(gate.wait):            # in the learner's thread
        learner.learn(target)            # sampling, styling, forward, backward, optimizer, average, guard

Every torch operation called from Python in this thread passes through a function mode; a backward pass runs in C++, so
its graph is given a hook before every node. Both only call the boundary: the numbers are the very same, bit by bit.
Nothing is installed on a model, so replicas, methods and models of users need not know. Boundaries come from the thread
that computes; a backward pass on an accelerator has a thread of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any  # operations and their arguments are whatever torch takes

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode


class Segments(TorchFunctionMode):
    """Calls `boundary` before every operation of the thread that entered."""

    def __init__(self, boundary: Callable[[], None]) -> None:
        super().__init__()
        self._boundary = boundary

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.autograd.backward or func is torch.autograd.grad:
            self._cut_backward(args[0])
        self._boundary()
        return func(*args, **(kwargs or {}))

    def _cut_backward(self, outputs: Sequence[Tensor]) -> None:
        """A boundary before every node of the graph that ends in `outputs`."""
        waiting = [output.grad_fn for output in outputs if output.grad_fn is not None]
        seen: set[Node] = set(waiting)
        while waiting:
            node = waiting.pop()
            node.register_prehook(self._before_node)
            for following, _ in node.next_functions:
                if following is not None and following not in seen:
                    seen.add(following)
                    waiting.append(following)

    def _before_node(self, _: Sequence[Tensor | None]) -> None:
        self._boundary()
