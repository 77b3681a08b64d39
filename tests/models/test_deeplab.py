"""DeepLab's heads against their definition and torchvision's pyramid pooling."""

import torch
import torch.nn.functional as F
from torch import nn

from models.deeplab import DeepLabV2Head, DeepLabV3PlusHead


def test_v2_sums_four_dilated_classifiers() -> None:
    torch.manual_seed(0)
    head = DeepLabV2Head((4, 4, 4, 6), num_classes=3).eval()
    deepest = torch.randn(2, 6, 30, 28)  # wider than any rate, so that every tap of every branch meets something
    expected = sum(
        F.conv2d(deepest, branch.weight, branch.bias, padding=rate, dilation=rate)
        for branch, rate in zip(head.branches, (6, 12, 18, 24), strict=True)
    )
    torch.testing.assert_close(head([deepest[:, :4]] * 3 + [deepest]), expected)
    assert (head.num_classes, head.embed_channels) == (3, 6)


def test_v2_knows_points_by_their_neighbours() -> None:
    torch.manual_seed(0)
    head, features = DeepLabV2Head((1, 1, 1, 6), num_classes=3).eval(), [torch.randn(1, 6, 9, 11)] * 4
    points = torch.tensor([[0, 50, 98]])
    whole = head(features)[0].flatten(1)
    torch.testing.assert_close(head.forward_at(features, points)[0, :, :, 0], whole[:, points[0]])


def test_v3_plus_pools_as_torchvision_does_on_the_same_weights() -> None:
    """torchvision has the pyramid, not the decoder."""
    from torchvision.models.segmentation.deeplabv3 import ASPP

    torch.manual_seed(0)
    head = DeepLabV3PlusHead((5, 6, 7, 12), num_classes=3, embed_channels=8).eval()
    peer = ASPP(12, [6, 12, 18], 8).eval()
    parts = (head.branches, head.image_pool, head.project)
    values = [tensor for part in parts for tensor in part.state_dict().values()]
    peer.load_state_dict(dict(zip(peer.state_dict(), values, strict=True)))
    deep, low = torch.randn(2, 12, 22, 24), torch.randn(2, 5, 44, 48)  # as in V2: wider than the widest rate, 18
    with torch.no_grad():
        pooled = F.interpolate(peer(deep), size=(44, 48), mode="bilinear", align_corners=False)
        expected = head.decode(torch.cat([pooled, head.low(low)], dim=1))
        torch.testing.assert_close(head.embed([low, low, low, deep]), expected, atol=1e-5, rtol=1e-4)
        assert head([low, low, low, deep]).shape == (2, 3, 44, 48)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in head.modules()) == 9
