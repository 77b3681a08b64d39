"""What a recipe says of rates and decay holds for every parameter that learns, and for each once."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from models.adapters import AdapterConfig, attach_adapters
from models.segformer import SegmentationModel
from models.trainable import set_trainable, trainable_parameters
from models.zoo import build_model
from runtime.optimizers import build_optimizer
from runtime.recipes import Recipe

DACS_LIKE = Recipe(head_rate=10.0, decays_norms=False, weight_decay=0.01)


def model_in(mode: str) -> SegmentationModel:
    torch.manual_seed(0)
    model = attach_adapters(build_model("segformer_b0", num_classes=4), AdapterConfig(stages=(4,)))
    set_trainable(model, mode)
    return model


def treatment(optimizer: torch.optim.Optimizer, model: SegmentationModel) -> dict[str, tuple[float, float]]:
    """Rate and decay of each parameter by name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@pytest.mark.parametrize("mode", ["full", "adapters+head", "norm", "head", "adapters"])
def test_every_trainable_parameter_is_in_exactly_one_group(mode: str) -> None:
    model = model_in(mode)
    optimizer = build_optimizer(DACS_LIKE, model, learning_rate=1e-4)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in trainable_parameters(model))


def test_the_head_learns_faster_and_norms_of_the_encoder_do_not_decay() -> None:
    model = model_in("full")
    treated = treatment(build_optimizer(DACS_LIKE, model, learning_rate=6e-5), model)
    assert treated["encoder.stages.0.blocks.0.mlp.fc1.weight"] == (6e-5, 0.01)
    assert treated["encoder.stages.0.blocks.0.norm1.weight"] == (6e-5, 0.0)
    assert treated["head.classifier.weight"] == (pytest.approx(6e-4), 0.01)
    assert treated["head.bn.weight"] == (pytest.approx(6e-4), 0.01)
    assert build_optimizer(DACS_LIKE, model, learning_rate=6e-5).param_groups[0]["lr"] == 6e-5


def test_without_exceptions_there_is_one_group_in_the_models_order() -> None:
    model = model_in("full")
    (group,) = build_optimizer(Recipe(), model, learning_rate=1e-3).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in trainable_parameters(model)]


@pytest.mark.parametrize(
    ("optimizer", "given", "expected"),
    [("adamw", None, 0.01), ("adam", None, 0.0), ("sgd", None, 0.0), ("sgd", 1e-4, 1e-4), ("adamw", 0.0, 0.0)],
)
def test_decay_is_the_optimizers_own_unless_given(optimizer: str, given: float | None, expected: float) -> None:
    recipe = Recipe(optimizer=optimizer, weight_decay=given)
    assert build_optimizer(recipe, model_in("head"), learning_rate=1e-3).param_groups[0]["weight_decay"] == expected


def test_only_the_head_learning_there_is_no_empty_group() -> None:
    optimizer = build_optimizer(DACS_LIKE, model_in("head"), learning_rate=1e-4)
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(1e-3)]


def test_nesterov_is_sgd_that_looks_ahead() -> None:
    """From 1 with gradient 1 at rate 0.1 and momentum 0.9 a first step is 0.1 (1 + 0.9), with sgd 0.1."""
    for name, step in (("sgd", 0.1), ("nesterov", 0.19)):
        model = model_in("head")
        bias_K = model.get_parameter("head.classifier.bias")
        with torch.no_grad():
            bias_K.fill_(1.0)
        bias_K.grad = torch.ones_like(bias_K)
        build_optimizer(Recipe(optimizer=name), model, learning_rate=0.1).step()
        assert torch.allclose(bias_K, torch.tensor(1.0 - step)), name


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="must be adamw, adam, sgd or nesterov, got 'lion'"):
        build_optimizer(Recipe(optimizer="lion"), model_in("head"), learning_rate=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"head_rate": 0.0}, "head_rate must be positive"), ({"max_gradient_norm": 0.0}, "max_gradient_norm")],
)
def test_recipes_are_checked(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**wrong)


def test_infinity_leaves_gradients_alone() -> None:
    """What the learner relies on for recipes that clip nothing."""
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 1e6)
    nn.utils.clip_grad_norm_([parameter], math.inf)
    assert torch.equal(parameter.grad, torch.full((3,), 1e6))


def test_all_tensors_at_once_take_the_steps_of_one_by_one() -> None:
    """Bit for bit, so that the quicker way changes no run."""
    model, reference = model_in("adapters+head"), model_in("adapters+head")
    optimizer = build_optimizer(Recipe(), model, learning_rate=1e-3)
    plain = torch.optim.AdamW(trainable_parameters(reference), lr=1e-3, foreach=False)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for one, other in zip(trainable_parameters(model), trainable_parameters(reference), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step()
        plain.step()
    pairs = zip(trainable_parameters(model), trainable_parameters(reference), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_steps_and_their_state_need_no_compiler() -> None:
    """It takes two seconds to import; torch's own optimizers would, on being built."""
    script = """
import sys, torch
from runtime.optimizers import SGD, Adam, AdamW
for kind in (SGD, Adam, AdamW):
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    optimizer = kind([parameter], lr=0.1)
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.zero_grad()
    assert parameter.item() < 1.0 and parameter.grad is None
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
