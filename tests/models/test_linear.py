"""The oneDNN product agrees with torch's own, forwards and backwards."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from models.linear import Linear, linear


@pytest.mark.parametrize(("channels", "outputs"), [(32, 8), (8, 32), (40, 40)])
def test_values_and_gradients_are_those_of_torch(channels: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, channels, generator=generator, dtype=torch.float64)
    weight = torch.randn(outputs, channels, generator=generator, dtype=torch.float64)
    bias = torch.randn(outputs, generator=generator, dtype=torch.float64)
    upstream = torch.randn(2, 3, 5, outputs, generator=generator, dtype=torch.float64)
    ours = [t.float().requires_grad_() for t in (x, weight, bias)]
    exact = [t.clone().requires_grad_() for t in (x, weight, bias)]
    (linear(*ours) * upstream.float()).sum().backward()
    (F.linear(*exact) * upstream).sum().backward()
    torch.testing.assert_close(linear(*ours).double(), F.linear(*exact), rtol=1e-4, atol=1e-4)
    for mine, reference in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine.grad.double(), reference.grad, rtol=1e-4, atol=1e-4)


def test_frozen_weight_gets_no_gradient() -> None:
    layer = Linear(8, 4).requires_grad_(False)
    x = torch.randn(6, 8, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


def test_result_may_be_written_to_in_place() -> None:
    layer = Linear(8, 8)
    x = torch.randn(2, 3, 8)
    plain, in_place = layer(x) + x, layer(x).add_(x)
    assert in_place._base is None
    torch.testing.assert_close(plain, in_place)


def test_strided_input_and_weight_are_accepted() -> None:
    x = torch.randn(1, 8, 4, 6).permute(0, 2, 3, 1)
    weight = torch.randn(5, 16)[:, 4:12]
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


def test_other_types_take_torchs_path() -> None:
    x, weight = torch.randn(3, 8).bfloat16(), torch.randn(2, 8).bfloat16()
    assert torch.equal(linear(x, weight), F.linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x.float(), weight.float()).dtype == torch.bfloat16


def test_a_compiler_sees_torchs_own_product_which_it_can_lower() -> None:
    """torch.compile of torch 2.13 fails on oneDNN's operator (an assertion in its lowering)."""
    seen: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Callable[..., object]:
        seen.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph.forward

    layer, x = Linear(8, 4).requires_grad_(False), torch.randn(6, 8)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(layer, backend=backend)(x), layer(x))
    assert seen == [F.linear]
    torch.compiler.reset()  # what it keeps of this is of no use to other tests
