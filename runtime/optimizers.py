"""Optimizers by the name a recipe gives them, with the head's rate and the norms' decay set apart where it says so.

    optimizer = build_optimizer(recipe, model, learning_rate=6e-5)

They are torch's own, but without the decorators that see to compiled steps: those import the whole compiler when first
called, 2 s of start and 71 MB in every process that learns (torch 2.13, one core of a virtual machine), though nothing
here compiles a step.
"""

import inspect
from typing import Any

import torch
from torch import nn

from models.segformer import SegmentationModel
from models.trainable import trainable_by_group, trainable_parameters
from runtime.recipes import Recipe

SGD_MOMENTUM = 0.9
ADAMW_DECAY = 0.01  # of the optimizer as published (Loshchilov and Hutter 2019, arXiv 1711.05101) and in torch


class _Uncompiled:
    """Bookkeeping that `torch.optim.Optimizer` decorates against compilation, as it is within."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


def _plain_step(kind: type[torch.optim.Optimizer]) -> Any:
    """Its step without a graph, which is what the decorator leaves of it where nothing is compiled."""
    return torch.no_grad()(inspect.unwrap(kind.step))


class AdamW(_Uncompiled, torch.optim.AdamW):
    """Loshchilov and Hutter 2019, arXiv 1711.05101."""

    step = _plain_step(torch.optim.AdamW)


class Adam(_Uncompiled, torch.optim.Adam):
    """Kingma and Ba 2015, arXiv 1412.6980."""

    step = _plain_step(torch.optim.Adam)


class SGD(_Uncompiled, torch.optim.SGD):
    """Descent with momentum, Nesterov's too."""

    step = _plain_step(torch.optim.SGD)


def build_optimizer(recipe: Recipe, model: SegmentationModel, *, learning_rate: float) -> torch.optim.Optimizer:
    """Over everything trainable in `model`; ValueError where the recipe names no optimizer there is."""
    decay = recipe.weight_decay
    if decay is None:
        decay = ADAMW_DECAY if recipe.optimizer == "adamw" else 0.0
    groups = [
        {"params": parameters, "lr": learning_rate * rate, "weight_decay": decay if decays else 0.0}
        for (rate, decays), parameters in _by_treatment(recipe, model).items()
    ]
    match recipe.optimizer:
        case "adamw":
            return AdamW(groups, betas=recipe.betas, foreach=True)  # a CPU's default asks tensor by tensor
        case "adam":
            return Adam(groups, betas=recipe.betas)
        case "sgd":
            return SGD(groups, momentum=SGD_MOMENTUM)
        case "nesterov":
            return SGD(groups, momentum=SGD_MOMENTUM, nesterov=True)
    raise ValueError(f"recipe.optimizer must be adamw, adam, sgd or nesterov, got {recipe.optimizer!r}")


def _by_treatment(recipe: Recipe, model: SegmentationModel) -> dict[tuple[float, bool], list[nn.Parameter]]:
    """Parameters by (factor on the rate, whether they decay); what is treated alike stays in the model's order.

    The base rate comes first: it is the one that is reported.
    """
    if recipe.head_rate == 1.0 and recipe.decays_norms:
        return {(1.0, True): trainable_parameters(model)}
    treated: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): []}
    for group, parameters in trainable_by_group(model).items():
        rate = recipe.head_rate if group == "head" else 1.0
        treated.setdefault((rate, recipe.decays_norms or group != "norm"), []).extend(parameters)
    return {treatment: parameters for treatment, parameters in treated.items() if parameters}
