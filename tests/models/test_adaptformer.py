"""AdaptFormer's bottleneck: its arithmetic and its width."""

import pytest
import torch

from models.adaptformer import Adapter, attach_adaptformer
from models.mit import Block


def test_adapter_is_scale_up_relu_down() -> None:
    adapter = Adapter(6, width=3, scale=0.5)
    torch.nn.init.normal_(adapter.up.weight)
    torch.nn.init.normal_(adapter.up.bias)
    x = torch.randn(1, 2, 2, 6)
    hidden = (x @ adapter.down.weight.T + adapter.down.bias).clamp(min=0)
    torch.testing.assert_close(adapter(x), 0.5 * (hidden @ adapter.up.weight.T + adapter.up.bias))


@pytest.mark.parametrize(("channels", "width"), [(64, 16), (16, 8)])
def test_the_bottleneck_has_a_share_of_the_channels_and_eight_at_least(channels, width) -> None:
    block = Block(channels, num_heads=1, reduction=1, drop_path=0.0)
    attach_adaptformer(block, reduction=4, scale=1.0, generator=None)
    assert block.adapter.down.weight.shape == (width, channels)
