"""LoRA: the update, its closed form, and the weights it folds into."""

import pytest
import torch
from torch import nn

from models.folding import fold, foldable_layers
from models.lora import LoraLinear, attach_lora
from models.mit import Block


def learnt(layer: LoraLinear) -> LoraLinear:
    nn.init.normal_(layer.adapter.up)
    return layer


@pytest.fixture
def layer() -> LoraLinear:
    torch.manual_seed(0)
    return learnt(LoraLinear(nn.Linear(12, 5), rank=3, scale=0.5))


def test_the_output_is_that_of_the_updated_weight(layer) -> None:
    x = torch.randn(2, 4, 12)
    weight = layer.weight + 0.5 * layer.adapter.up @ layer.adapter.down
    torch.testing.assert_close(layer(x), x @ weight.T + layer.bias)


def test_folded_it_answers_the_same(layer) -> None:
    x = torch.randn(64, 12)
    with torch.no_grad():
        beside = layer(x)
        fold(foldable_layers(nn.Sequential(layer)))
        torch.testing.assert_close(layer(x), beside, rtol=0, atol=1e-5)


def test_folding_again_takes_the_newest_update_into_the_same_memory(layer) -> None:
    x = torch.randn(3, 12)
    layer.requires_grad_(False)
    layer.fold()
    where, before = layer.folded_OI.data_ptr(), layer(x)
    layer.adapter.up.mul_(2)
    torch.testing.assert_close(layer(x), before, rtol=0, atol=0)
    layer.fold()
    expected = x @ (layer.weight + layer.adapter.scale * layer.adapter.up @ layer.adapter.down).T + layer.bias
    torch.testing.assert_close(layer(x), expected)
    assert layer.folded_OI.data_ptr() == where and not torch.equal(layer(x), before)


def test_a_fresh_update_folds_to_the_very_weights() -> None:
    layer = LoraLinear(nn.Linear(12, 5), rank=3, scale=0.5).requires_grad_(False)
    layer.fold()
    assert torch.equal(layer.folded_OI, layer.weight)


def test_gradients_are_those_of_the_factors(layer) -> None:
    """d y / d B = s g (A x)^T and d y / d A = s B^T g x^T, for the sum of outputs times g."""
    x, g = torch.randn(7, 12), torch.randn(7, 5)
    (layer(x) * g).sum().backward()
    up, down = layer.adapter.up.detach(), layer.adapter.down.detach()
    torch.testing.assert_close(layer.adapter.up.grad, 0.5 * g.T @ (x @ down.T))
    torch.testing.assert_close(layer.adapter.down.grad, 0.5 * (g @ up).T @ x)


def test_rank_is_at_most_the_layers_own() -> None:
    assert LoraLinear(nn.Linear(12, 5), rank=64, scale=1.0).adapter.down.shape == (5, 12)


def test_every_linear_layer_of_a_block_has_an_update_and_the_block_folds() -> None:
    torch.manual_seed(0)
    block = Block(16, num_heads=2, reduction=2, drop_path=0.0).eval()
    names = {name for name, module in block.named_modules() if isinstance(module, nn.Linear)}
    attach_lora(block, rank=2, scale=1.0, generator=torch.Generator().manual_seed(0))
    updated = {name: module for name, module in block.named_modules() if isinstance(module, LoraLinear)}
    assert updated.keys() == names == {"attn.q", "attn.kv", "attn.proj", "mlp.fc1", "mlp.fc2"}
    for module in updated.values():
        nn.init.normal_(module.adapter.up, std=0.1)
    x = torch.randn(1, 4, 6, 16)
    with torch.no_grad():
        beside = block(x)
        fold(foldable_layers(block))
        torch.testing.assert_close(block(x), beside, rtol=1e-5, atol=1e-5)
