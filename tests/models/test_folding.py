"""Folding of whole networks: the same answers to 1e-5 of what they span, and no layer beside another any more."""

import pytest
import torch
from torch import nn

from models.adapters import AdapterConfig, attach_adapters
from models.folding import Foldable, fold, foldable_layers
from models.trainable import adaptable_tensors, frozen_digest, set_trainable
from models.zoo import build_model


def learnt_model(kind, name="segformer_b0"):
    torch.manual_seed(0)
    model = attach_adapters(build_model(name, num_classes=19), AdapterConfig(kind, scale=1.0)).eval()
    set_trainable(model, "adapters+head")
    for name, parameter in model.named_parameters():
        if ".adapter." in name:
            nn.init.normal_(parameter, std=0.02)
    return model


@pytest.mark.parametrize("name", ["segformer_b0", "hrda:segformer_b0"])
@pytest.mark.parametrize("kind", ["lora", "ssf"])
def test_a_folded_network_answers_as_before(kind, name) -> None:
    model, x = learnt_model(kind, name), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        beside = model(x)
        fold(foldable_layers(model))
        folded = model(x)
    span = float(beside.max() - beside.min())
    assert float((folded - beside).abs().max()) <= 1e-5 * span
    layers = [module for module in model.modules() if isinstance(module, Foldable)]
    kept = [getattr(layer, "folded", None) or (layer.folded_OI,) for layer in layers]
    assert layers and all(isinstance(tensor, torch.Tensor) for tensors in kept for tensor in tensors)


@pytest.mark.parametrize("kind", ["lora", "ssf"])
def test_folding_adds_no_tensor_to_those_that_count(kind) -> None:
    model = learnt_model(kind)
    names, digest, learnt = set(model.state_dict()), frozen_digest(model), dict(adaptable_tensors(model))
    fold(foldable_layers(model))
    assert set(model.state_dict()) == names and frozen_digest(model) == digest
    assert all(adaptable_tensors(model)[name].data_ptr() == tensor.data_ptr() for name, tensor in learnt.items())


def test_adapters_that_are_not_linear_stay_beside() -> None:
    model = learnt_model("adaptformer")
    assert not any(isinstance(module, Foldable) for module in model.modules())
    fold(foldable_layers(model))
