"""The light decoder: its quick form against its layers, and where it comes from."""

import pytest
import torch

from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.zoo import build_model


@pytest.fixture
def model() -> SegmentationModel:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=5).eval()
    with torch.no_grad():
        model.head.bn.running_mean.normal_()
        model.head.bn.running_var.uniform_(0.5, 2.0)
        model.head.bn.weight.normal_()
    return model


def test_it_begins_as_the_heads_share_of_stage_1(model: SegmentationModel) -> None:
    """With the other stages' features and embedding biases at 0 the whole head says the same."""
    features = [torch.randn(1, channels, 8 >> i, 16 >> i) for i, channels in enumerate(model.encoder.channels)]
    silent = [features[0], *(torch.zeros_like(feature) for feature in features[1:])]
    with torch.no_grad():
        for embed in list(model.head.linear_c)[1:]:
            embed.bias.zero_()
        decoder = LightDecoder.of(model)
        assert torch.allclose(decoder(features[0]), model.head(silent), atol=1e-4)


def test_one_product_stands_for_three_layers(model: SegmentationModel) -> None:
    """In training mode batch norm takes the batch's statistics: given those as running ones, eval mode must agree."""
    decoder = LightDecoder.of(model)
    features = torch.randn(2, 32, 4, 6)
    with torch.no_grad():
        layers = decoder.train()(features)
        fused = decoder.fuse(decoder.embed(features.permute(0, 2, 3, 1))).reshape(-1, 256)
        decoder.bn.running_mean.copy_(fused.mean(dim=0))
        decoder.bn.running_var.copy_(fused.var(dim=0, unbiased=False))
        quick = decoder.eval()(features)
    assert quick.shape == (2, 5, 4, 6)
    assert torch.allclose(quick, layers, atol=1e-4)


def test_pixels_are_told_one_by_one(model: SegmentationModel) -> None:
    decoder = LightDecoder.of(model)
    features = torch.randn(1, 32, 2, 3)
    with torch.no_grad():
        alone = decoder.of_pixels(features.permute(0, 2, 3, 1).reshape(-1, 32)[4])
        assert torch.allclose(decoder(features)[0, :, 1, 1], alone, atol=1e-5)


def test_it_owns_its_tensors(model: SegmentationModel) -> None:
    decoder = LightDecoder.of(model)
    before = model.head.linear_fuse.weight.clone()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    assert torch.equal(model.head.linear_fuse.weight, before)
