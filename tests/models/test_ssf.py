"""SSF: scale and shift, their closed form, and the weights they fold into."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.folding import fold, foldable_layers
from models.mit import Block
from models.ssf import ScaleShift, SsfLinear, SsfNorm, attach_ssf


def learnt(layer):
    nn.init.normal_(layer.adapter.offset_C)
    nn.init.normal_(layer.adapter.shift_C)
    return layer


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return learnt(SsfLinear(nn.Linear(6, 4), scale=0.5))


@pytest.fixture
def norm():
    torch.manual_seed(0)
    plain = nn.LayerNorm(6, eps=1e-3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    return learnt(SsfNorm(plain, scale=0.5))


def test_scale_and_shift_of_every_channel() -> None:
    adapter = ScaleShift(2, scale=0.5)
    with torch.no_grad():
        adapter.offset_C.copy_(torch.tensor([0.0, 2.0]))
        adapter.shift_C.copy_(torch.tensor([1.0, -4.0]))
    y = torch.tensor([[3.0, 3.0], [0.0, 1.0]])
    assert adapter(y).tolist() == [[3.5, 4.0], [0.5, 0.0]]  # (1 + 0.5 g) y + 0.5 h


def test_after_a_linear_layer(linear) -> None:
    x = torch.randn(2, 3, 6)
    plain = F.linear(x, linear.weight, linear.bias)
    expected = (1 + 0.5 * linear.adapter.offset_C) * plain + 0.5 * linear.adapter.shift_C
    torch.testing.assert_close(linear(x), expected)


def test_after_a_norm(norm) -> None:
    x = torch.randn(2, 3, 6)
    plain = F.layer_norm(x, (6,), norm.weight, norm.bias, 1e-3)
    torch.testing.assert_close(norm(x), (1 + 0.5 * norm.adapter.offset_C) * plain + 0.5 * norm.adapter.shift_C)


@pytest.mark.parametrize("kind", ["linear", "norm"])
def test_folded_a_layer_answers_the_same_and_again_with_the_newest(kind, request) -> None:
    layer, x = request.getfixturevalue(kind), torch.randn(64, 6)
    layer.requires_grad_(False)
    fold(foldable_layers(nn.Sequential(layer)))
    folded, where = layer(x), [tensor.data_ptr() for tensor in layer.folded]
    layer.folded, kept = None, layer.folded
    torch.testing.assert_close(folded, layer(x), rtol=0, atol=1e-5)
    layer.folded = kept
    layer.adapter.shift_C.add_(1.0)
    assert torch.equal(layer(x), folded)
    layer.fold()
    torch.testing.assert_close(layer(x), folded + 0.5)
    assert [tensor.data_ptr() for tensor in layer.folded] == where


def test_a_layer_without_bias_folds_its_shift_into_one() -> None:
    layer = learnt(SsfLinear(nn.Linear(6, 4, bias=False), scale=0.5)).requires_grad_(False)
    x = torch.randn(5, 6)
    beside = layer(x)
    layer.fold()
    torch.testing.assert_close(layer(x), beside)


def test_every_linear_layer_and_norm_of_a_block_has_one_and_the_block_folds() -> None:
    torch.manual_seed(0)
    block = Block(16, num_heads=2, reduction=2, drop_path=0.0).eval()
    attach_ssf(block, scale=1.0)
    names = {name for name, module in block.named_modules() if isinstance(module, SsfLinear | SsfNorm)}
    assert names == {"norm1", "norm2", "attn.q", "attn.kv", "attn.proj", "attn.norm", "mlp.fc1", "mlp.fc2"}
    for parameter in (p for name, p in block.named_parameters() if ".adapter." in name):
        nn.init.normal_(parameter, std=0.1)
    x = torch.randn(1, 4, 6, 16)
    with torch.no_grad():
        beside = block(x)
        fold(foldable_layers(block))
        torch.testing.assert_close(block(x), beside, rtol=1e-5, atol=1e-5)
