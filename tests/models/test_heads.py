"""DAFormer's and mmsegmentation's heads equal the published order of work, and serve as SegFormer's does."""

import pytest
import torch

from models.light_decoder import LightDecoder
from models.points import at_points, random_points
from models.published import published_logits
from models.tensorfile import CheckpointInvalid
from models.trainable import MODES, adaptable_tensors, load_adaptable, replica, set_trainable
from models.zoo import build_model
from runtime.adaptation.robust_norm import NormStatistics

NAMES = ("daformer_b0", "daformer_isa_b0", "daformer_conv1_b0", "segformer_mmseg_b0")


def model_of(name):
    """With norms and statistics that are all distinct."""
    torch.manual_seed(0)
    model = build_model(name, num_classes=5).eval()
    with torch.no_grad():
        for module in model.head.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return model


@pytest.mark.parametrize("name", ["daformer_b0", "daformer_isa_b0"])
@pytest.mark.parametrize("size_HW", [(64, 96), (72, 100)])
def test_daformers_heads_equal_the_published_ones(name, size_HW) -> None:
    model = model_of(name)
    x = torch.randn(2, 3, *size_HW)
    with torch.no_grad():
        expected = published_logits(model.state_dict(), x, shallow_first=True)
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_training", [False, True])
def test_mmsegmentations_head_equals_its_published_order_of_work(is_training) -> None:
    model = model_of("segformer_mmseg_b0")
    model.head.bn.train(is_training)
    with torch.no_grad():
        features = model.encoder(torch.randn(2, 3, 64, 160))
        torch.testing.assert_close(model.head.embed(features), model.head.embed_plainly(features), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_points", [3, 200])
def test_the_head_at_points_is_the_head_there(name, num_points) -> None:
    model = model_of(name)
    with torch.no_grad():
        features = model.encoder(torch.randn(1, 3, 64, 96))
        points_BN = random_points(1, (16, 24), num_points, generator=torch.Generator().manual_seed(0))
        expected = at_points(model.head(features), points_BN)
        torch.testing.assert_close(model.head.forward_at(features, points_BN), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*NAMES, "knet_b0"])
def test_gradients_at_points_are_those_of_the_whole_answer_there(name) -> None:
    """Of the head's parameters and of the maps it reads; of the first map there are more pixels than points."""
    model = model_of(name)
    with torch.no_grad():
        maps = model.encoder(torch.randn(1, 3, 64, 96))
    points_BN = random_points(1, (16, 24), 200, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(1, 5, 200, 1)
    gradients = []
    for answer in (model.head.forward_at, lambda maps, points_BN: at_points(model.head(maps), points_BN)):
        leaves = [map_BCHW.clone().requires_grad_() for map_BCHW in maps]
        asked = [*model.head.parameters(), *leaves]
        gradients.append(torch.autograd.grad((answer(leaves, points_BN) * weights).sum(), asked))
    for sampled, whole in zip(*gradients, strict=True):
        assert float((sampled - whole).abs().max()) <= 1e-5 * float(whole.abs().max())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", [mode for mode in MODES if "adapters" not in mode])
def test_every_head_learns_in_every_mode_and_is_swapped(name, mode) -> None:
    model = model_of(name)
    report = set_trainable(model, mode)
    served = replica(model)
    logits = model.train()(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 5, 16, 16)
    torch.autograd.backward(logits.square().mean())
    learns = {n for n, p in model.named_parameters() if p.grad is not None}
    assert learns <= set(report.names) and any(n.startswith("head.") for n in learns)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)
    load_adaptable(served, adaptable_tensors(model))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(served.eval()(x), model.eval()(x))


def test_what_needs_segformers_head_says_so() -> None:
    model = model_of("daformer_b0")
    with pytest.raises(CheckpointInvalid, match="the light decoder needs SegFormer's head, and the model has a DAF"):
        LightDecoder.of(model)
    with pytest.raises(CheckpointInvalid, match="robust batch norm needs SegFormer's head"):
        NormStatistics.of(model.head)
