"""Adapters of every kind change nothing until they have learned, and learn where they were put."""

import pytest
import torch
from torch import nn

from models.adapters import ADAPTERS, AdapterConfig, attach_adapters, has_adapters
from models.segformer import SegmentationModel
from models.trainable import set_trainable, trainable_parameters
from models.zoo import build_model
from runtime.config import ADAPTERS as OPTIONS

KINDS = pytest.mark.parametrize("kind", ADAPTERS)


@pytest.fixture
def model() -> SegmentationModel:
    torch.manual_seed(0)
    return build_model("segformer_b0", num_classes=19).eval()


def test_the_kinds_are_those_of_the_option() -> None:
    assert tuple(ADAPTERS) == OPTIONS


@KINDS
def test_fresh_adapters_leave_the_output_identical(model, kind) -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
        adapted = attach_adapters(model, AdapterConfig(kind))(x)
    assert torch.equal(plain, adapted)


@KINDS
def test_only_the_chosen_stages_get_adapters(model, kind) -> None:
    attach_adapters(model, AdapterConfig(kind, stages=(3, 4)))
    names = [name for name, _ in model.named_modules() if name.endswith(".adapter")]
    assert names and {name.rpartition(".blocks.")[0] for name in names} == {"encoder.stages.2", "encoder.stages.3"}
    assert {name.split(".")[4] for name in names} == {"0", "1"}


@KINDS
def test_only_adapters_learn_and_the_network_keeps_its_names(model, kind) -> None:
    before = dict(model.named_parameters())
    attach_adapters(model, AdapterConfig(kind, stages=(4,)))
    report = set_trainable(model, "adapters")
    assert report.names and all(".adapter." in name for name in report.names)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert after.keys() - before.keys() == set(report.names)


@KINDS
def test_a_step_on_the_adapters_alone_lowers_the_loss(model, kind) -> None:
    attach_adapters(model, AdapterConfig(kind, stages=(4,), scale=1.0), generator=torch.Generator().manual_seed(0))
    set_trainable(model, "adapters")
    x, losses = torch.randn(1, 3, 64, 64), []
    optimizer = torch.optim.SGD(trainable_parameters(model), lr=0.5)
    for _ in range(3):
        loss = -model(x)[:, 0].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("kind", ["adaptformer", "lora"])
def test_generator_decides_the_down_projection(kind) -> None:
    drawn = []
    for seed in (1, 1, 2):
        model = build_model("segformer_b0", num_classes=2)
        attach_adapters(model, AdapterConfig(kind), generator=torch.Generator().manual_seed(seed))
        drawn.append({name: p for name, p in model.named_parameters() if ".adapter.down" in name})
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    weights = [name for name, parameter in drawn[0].items() if parameter.ndim == 2]
    assert weights and not any(torch.equal(drawn[0][name], drawn[2][name]) for name in weights)


@KINDS
def test_attaching_twice_is_refused(model, kind) -> None:
    assert not has_adapters(model)
    attach_adapters(model, AdapterConfig(kind, stages=(4,)))
    with pytest.raises(ValueError, match="segformer_b0 has adapters already"):
        attach_adapters(model, AdapterConfig(stages=(3,)))


@KINDS
def test_modules_that_were_evaluating_still_are(model, kind) -> None:
    attach_adapters(model, AdapterConfig(kind))
    assert not any(module.training for module in model.modules() if isinstance(module, nn.Linear | nn.LayerNorm))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "lorra"}, "adapters.kind must be a known one, got 'lorra'; nearest: lora"),
        ({"stages": (0, 1)}, "adapters.stages must be some of 1, 2, 3, 4"),
        ({"stages": ()}, "adapters.stages"),
        ({"reduction": 0}, "adapters.reduction and rank must be at least 1"),
        ({"rank": 0}, "adapters.reduction and rank must be at least 1"),
        ({"scale": 0.0}, "adapters.scale must be positive"),
        ({"scale": float("nan")}, "adapters.scale must be positive"),
    ],
)
def test_impossible_configuration_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**arguments)
