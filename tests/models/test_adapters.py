"""Adapters change nothing until they have learned."""

import pytest
import torch

from models.adapters import Adapter, AdapterConfig, attach_adapters, has_adapters
from models.segformer import SegmentationModel
from models.zoo import build_model


@pytest.fixture
def model() -> SegmentationModel:
    torch.manual_seed(0)
    return build_model("segformer_b0", num_classes=19).eval()


def test_fresh_adapters_leave_the_output_identical(model: SegmentationModel) -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
        adapted = attach_adapters(model, AdapterConfig())(x)
    assert torch.equal(plain, adapted)


def test_only_the_chosen_stages_get_adapters(model: SegmentationModel) -> None:
    attach_adapters(model, AdapterConfig(stages=(3, 4)))
    names = [name for name, module in model.named_modules() if isinstance(module, Adapter)]
    assert names == [f"encoder.stages.{stage}.blocks.{block}.adapter" for stage in (2, 3) for block in (0, 1)]


def test_adapter_is_scale_up_relu_down() -> None:
    adapter = Adapter(6, width=3, scale=0.5)
    torch.nn.init.normal_(adapter.up.weight)
    torch.nn.init.normal_(adapter.up.bias)
    x = torch.randn(1, 2, 2, 6)
    hidden = (x @ adapter.down.weight.T + adapter.down.bias).clamp(min=0)
    torch.testing.assert_close(adapter(x), 0.5 * (hidden @ adapter.up.weight.T + adapter.up.bias))


def test_a_learned_adapter_changes_the_output(model: SegmentationModel) -> None:
    x = torch.randn(1, 3, 64, 64)
    attach_adapters(model, AdapterConfig(stages=(4,)))
    with torch.no_grad():
        before = model(x)
        for module in model.modules():
            if isinstance(module, Adapter):
                module.up.weight.fill_(0.1)
        assert not torch.equal(before, model(x))


def test_generator_decides_the_down_projection() -> None:
    weights = []
    for seed in (1, 1, 2):
        model = build_model("segformer_b0", num_classes=2)
        attach_adapters(model, AdapterConfig(), generator=torch.Generator().manual_seed(seed))
        weights.append(next(module for module in model.modules() if isinstance(module, Adapter)).down.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_attaching_twice_is_refused(model: SegmentationModel) -> None:
    assert not has_adapters(model)
    attach_adapters(model, AdapterConfig(stages=(4,)))
    with pytest.raises(ValueError, match="segformer_b0 has adapters already"):
        attach_adapters(model, AdapterConfig(stages=(3,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": (0, 1)}, "adapters.stages must be some of 1, 2, 3, 4"),
        ({"stages": ()}, "adapters.stages"),
        ({"reduction": 0}, "adapters.reduction must be at least 1"),
        ({"scale": 0.0}, "adapters.scale must be positive"),
        ({"scale": float("nan")}, "adapters.scale must be positive"),
    ],
)
def test_impossible_configuration_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**arguments)
