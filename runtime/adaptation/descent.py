"""Descent: the optimizer, how fast it goes, and how long a gradient may be.

    descent = build_descent(recipe, student, learning_rate=3e-3)
    descent.prepare()
    refusal = descent.step(loss, value, rate_share=0.2)
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from models.segformer import SegmentationModel
from runtime.optimizers import build_optimizer
from runtime.recipes import Recipe
from runtime.state import State, kept

MAX_GRADIENT_NORM = 1.0


class Descent:
    """One owner. Steps go at a share of the rates the optimizer came with."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, max_gradient_norm: float = MAX_GRADIENT_NORM) -> None:
        self._optimizer = optimizer
        self._max_gradient_norm = max_gradient_norm
        self._rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that it moves."""
        return self._parameters

    @property
    def learning_rate(self) -> float:
        """The first group's, as of the last step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def prepare(self) -> None:
        """No gradients are left of earlier losses."""
        self._optimizer.zero_grad(set_to_none=True)

    def forget(self) -> None:
        """Go on without memory of earlier steps: the parameters' values have been set."""
        self._optimizer.state.clear()

    def step(self, loss: Tensor, value: float, *, rate_share: float) -> str:
        """Backward and step, where the loss has a graph; `value` is the loss's. Says what is not finite, if anything;
        no parameter has moved then.
        """
        if not math.isfinite(value):
            return f"loss is {value}"
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * rate_share
        if not loss.requires_grad:
            return ""
        torch.autograd.backward(loss)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, self._max_gradient_norm))
        if not math.isfinite(norm):
            return f"gradient norm is {norm}"
        self._optimizer.step()
        return ""

    def state(self) -> State:
        """Copies of the optimizer's moments, by the order of its parameters, and its rates."""
        document = self._optimizer.state_dict()
        return {
            "moments": {
                str(position): {name: kept(torch.as_tensor(value)) for name, value in moments.items()}
                for position, moments in document["state"].items()
            },
            "learning_rates": [float(group["lr"]) for group in document["param_groups"]],
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"moments": dict(moments), "learning_rates": list(rates)}:
                document = self._optimizer.state_dict()
            case _:
                raise ValueError(f"not the state of a descent: it has the keys {sorted(state)}")
        document["state"] = {int(position): values for position, values in moments.items()}
        for group, rate in zip(document["param_groups"], cast(list[float], rates), strict=True):
            group["lr"] = rate
        self._optimizer.load_state_dict(document)


def build_descent(recipe: Recipe, model: SegmentationModel, *, learning_rate: float) -> Descent:
    """Of everything trainable in `model`, as the recipe has it."""
    optimizer = build_optimizer(recipe, model, learning_rate=learning_rate)
    return Descent(optimizer, max_gradient_norm=recipe.max_gradient_norm)
