"""Adapters of every kind in blocks of timm: in the stages asked for, silent at first, and alone in what they change."""

import pytest
import torch
from torch import nn

from models.adapters import ADAPTERS, AdapterConfig, attach_adapters
from models.encoder import ModelUnsuitable
from models.folding import fold, foldable_layers
from models.prefix import num_frozen_stages
from models.trainable import (
    adaptable_tensors,
    copy_adaptable,
    frozen_digest,
    outermost_parameters,
    replica,
    set_trainable,
    trainable_parameters,
)
from models.zoo import build_model
from tests.models.timm_samples import CONVNEXT, PVT, RESNET, ROTARY, SWIN, VIT, image, sample

CONVOLUTIONS = "timm:convnext_atto"  # its feed-forward networks are 1x1 convolutions
ADAPTED = [
    *((name, kind) for name in (SWIN, VIT, ROTARY, CONVNEXT, PVT) for kind in ADAPTERS),
    (CONVOLUTIONS, "adaptformer"),
]
EACH = pytest.mark.parametrize(("name", "kind"), ADAPTED)


def adapted(name, kind, *, stages=(3, 4), mode="adapters+head"):
    model = attach_adapters(
        sample(name), AdapterConfig(kind, stages=stages, scale=1.0), generator=torch.Generator().manual_seed(0)
    )
    set_trainable(model, mode)
    return model


def shaken(model):
    """Adapters as if they had learnt."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if ".adapter." in name:
            nn.init.normal_(parameter.data, std=0.1, generator=generator)
    return model


def stages_with_adapters(model):
    names = [name.removeprefix("encoder.") for name, _ in model.named_modules() if name.endswith(".adapter")]
    return {model.encoder.stage_of(name) + 1 for name in names}


@EACH
@pytest.mark.parametrize("stages", [(1, 2, 3, 4), (4,)])
def test_fresh_adapters_are_where_they_were_asked_for_and_change_nothing(name, kind, stages) -> None:
    plain, model = sample(name), adapted(name, kind, stages=stages)
    assert stages_with_adapters(model) == set(stages)
    with torch.no_grad():
        torch.testing.assert_close(model(image()), plain(image()), atol=2e-5, rtol=1e-4)


@EACH
def test_the_network_keeps_its_names_and_tensors(name, kind) -> None:
    model = sample(name)
    before = dict(model.named_parameters())
    attach_adapters(model, AdapterConfig(kind, stages=(4,)))
    after = dict(model.named_parameters())
    assert all(after[key] is parameter for key, parameter in before.items())
    assert after.keys() > before.keys() and all(".adapter." in key for key in after.keys() - before.keys())


@EACH
def test_a_learning_step_moves_every_adapter_and_nothing_frozen(name, kind) -> None:
    model = shaken(adapted(name, kind, stages=(1, 4), mode="adapters"))
    digest, before = frozen_digest(model), {key: t.clone() for key, t in adaptable_tensors(model).items()}
    model.train()
    torch.autograd.backward(model(image()).square().mean())
    with torch.no_grad():  # blocks' own scales, 1e-6 in random networks, make gradients tiny
        for parameter in trainable_parameters(model):
            parameter.sub_(0.1 * parameter.grad.sign())
    moved = {key for key, tensor in adaptable_tensors(model).items() if not torch.equal(tensor, before[key])}
    assert frozen_digest(model) == digest
    assert moved == {key for key in before if ".running_" not in key}, "statistics follow no gradient"


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in ADAPTED if kind != "adaptformer"])
def test_what_folds_answers_the_same_folded(name, kind) -> None:
    """To 1e-5 of what the answers span."""
    model = shaken(adapted(name, kind, stages=(1, 2, 3, 4)))
    with torch.no_grad():
        beside = model(image())
        fold(foldable_layers(model))
        folded = model(image())
    assert float((folded - beside).abs().max()) <= 1e-5 * float(beside.max() - beside.min())


@EACH
def test_replicas_share_what_is_frozen_and_answer_with_adapters_of_their_own(name, kind) -> None:
    """No head learns here, which could differ in the adapters' place; what the twin learnt is all it answers by."""
    model, learnt = adapted(name, kind, mode="adapters"), shaken(adapted(name, kind, mode="adapters"))
    twin = replica(model)
    with torch.no_grad():
        before = model(image())
        copy_adaptable(twin, adaptable_tensors(learnt))
        assert torch.equal(twin(image()), learnt(image())) and not torch.equal(twin(image()), before)
        assert torch.equal(model(image()), before)
        copy_adaptable(model, {key: torch.zeros_like(tensor) for key, tensor in adaptable_tensors(model).items()})
        assert torch.equal(twin(image()), learnt(image()))
    ours, theirs = dict(model.named_parameters()), dict(twin.named_parameters())
    adaptable = set(model.adaptable_names)
    shared = {key for key in ours if ours[key].data_ptr() == theirs[key].data_ptr()}
    assert shared == ours.keys() - adaptable


@pytest.mark.parametrize("kind", ["lora", "ssf"])
def test_blocks_of_convolutions_take_no_linear_adapters(kind) -> None:
    with pytest.raises(ModelUnsuitable, match=f"no linear layers for --adapter {kind}; use --adapter adaptformer"):
        attach_adapters(sample(CONVOLUTIONS), AdapterConfig(kind))


def test_networks_without_such_blocks_are_refused_in_one_line() -> None:
    with pytest.raises(ModelUnsuitable, match="no transformer or ConvNeXt blocks for adapters; use --t") as caught:
        attach_adapters(sample(RESNET), AdapterConfig())
    assert "\n" not in str(caught.value)


def test_layers_a_block_never_calls_get_no_update() -> None:
    """Attention with biases of its own multiplies with qkv's weight itself."""
    model = build_model("timm:eva02_tiny_patch14_224", num_classes=2)
    attach_adapters(model, AdapterConfig("lora", stages=(4,)))
    set_trainable(shaken(model), "adapters")
    torch.autograd.backward(model(image(28, 42)).square().mean())
    without = {key for key, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert trainable_parameters(model) and without == set()


@pytest.mark.parametrize(
    ("name", "stages", "mode", "expected"),
    [(PVT, (3, 4), "adapters+head", 2), (PVT, (4,), "head", 4), (VIT, (4,), "adapters", 0), (VIT, (4,), "head", 4)],
)
def test_frozen_stages_are_those_a_pass_can_go_on_from(name, stages, mode, expected) -> None:
    assert num_frozen_stages(adapted(name, "adaptformer", stages=stages, mode=mode)) == expected


@pytest.mark.parametrize("name", [VIT, PVT])
def test_the_outermost_adapters_are_those_of_the_deepest_stage(name) -> None:
    model = adapted(name, "adaptformer", stages=(2, 3), mode="adapters")
    outermost = {id(parameter) for parameter in outermost_parameters(model)}
    names = {key.removeprefix("encoder.") for key, p in model.named_parameters() if id(p) in outermost}
    assert names and {model.encoder.stage_of(key) for key in names} == {2}


@pytest.mark.parametrize("name", [RESNET, SWIN, VIT])
@pytest.mark.parametrize("mode", ["norm", "head", "full"])
def test_modes_without_adapters_name_what_they_should(name, mode) -> None:
    model = sample(name)
    report = set_trainable(model, mode)
    assert report.trainable == (report.total if mode == "full" else report.trainable) > 0
    if mode == "norm":
        owners = {model.get_submodule(key.rpartition(".")[0]) for key in report.names}
        assert all(isinstance(owner, nn.LayerNorm | nn.BatchNorm2d) for owner in owners)
        has_statistics = any(key.endswith("running_mean") for key in model.adaptable_names)
        assert has_statistics and report.trainable < report.total
