"""The network equals an independent implementation, and the head's order of work changes nothing but its cost."""

import re

import pytest
import torch

from benchmarks.peers import RENAMES
from models.losses import cross_entropy
from models.mit import MIT_CONFIGS
from models.points import at_points, random_points
from models.segformer import SegmentationModel
from models.zoo import build_model


def from_hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our state from theirs; keys and values, theirs apart, become one matrix here."""
    ours = {}
    for name, tensor in state.items():
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        ours[name] = tensor
    for name in [name for name in ours if ".attn.k." in name]:
        ours[name.replace(".k.", ".kv.")] = torch.cat([ours.pop(name), ours.pop(name.replace(".k.", ".v."))])
    return ours


@pytest.fixture
def model() -> SegmentationModel:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=19)
    model.head.bn.running_mean.uniform_(-1, 1)
    model.head.bn.running_var.uniform_(0.5, 2)
    torch.nn.init.uniform_(model.head.bn.weight, 0.5, 2)
    torch.nn.init.uniform_(model.head.bn.bias, -1, 1)
    return model.eval()


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch):
    """The reference implementation, off line."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("transformers")


@pytest.mark.parametrize("size", sorted(MIT_CONFIGS))
def test_parameter_counts_equal_hugging_faces(transformers, size: str) -> None:
    channels, depths = MIT_CONFIGS[size].channels, MIT_CONFIGS[size].depths
    width = 256 if size in ("b0", "b1") else 768
    config = transformers.SegformerConfig(
        hidden_sizes=list(channels), depths=list(depths), decoder_hidden_size=width, num_labels=19
    )
    with torch.device("meta"):
        reference = transformers.SegformerForSemanticSegmentation(config)
        ours = build_model(f"segformer_{size}", num_classes=19)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in reference.parameters())


def test_logits_equal_hugging_faces(transformers, model: SegmentationModel) -> None:
    torch.manual_seed(1)
    reference = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(num_labels=19)).eval()
    for parameter in reference.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    reference.decode_head.batch_norm.running_mean.uniform_(-1, 1)
    model.load_state_dict(from_hugging_face(reference.state_dict()))
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(x).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_training", [False, True])
def test_projecting_first_gives_the_published_embedding(model: SegmentationModel, is_training: bool) -> None:
    model.head.bn.train(is_training)
    with torch.no_grad():
        features = model.encoder(torch.randn(2, 3, 64, 160))
        torch.testing.assert_close(model.head.embed(features), model.head.embed_plainly(features), rtol=1e-5, atol=1e-5)


def test_projecting_first_gives_the_published_gradients(model: SegmentationModel) -> None:
    with torch.no_grad():
        features = model.encoder(torch.randn(1, 3, 64, 96))
    gradients = []
    for embed in (model.head.embed, model.head.embed_plainly):
        model.head.zero_grad()
        model.head.classify(embed(features)).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.head.parameters()])
    for ours, published in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, published, rtol=1e-3, atol=1e-6)


def test_eval_forward_leaves_every_buffer_alone(model: SegmentationModel) -> None:
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(1, 3, 64, 64)).sum().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_training_forward_moves_the_running_statistics(model: SegmentationModel) -> None:
    before = model.head.bn.running_mean.clone()
    model.train()(torch.randn(2, 3, 64, 64))
    assert not torch.equal(before, model.head.bn.running_mean)


def test_bfloat16_autocast_stays_close(model: SegmentationModel) -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x).float()
    assert (rough - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize("num_points", [1, 20, 100, 5000])
def test_the_head_at_points_has_the_loss_and_gradients_of_the_whole_picture_there(model, num_points) -> None:
    """Maps have 16x24, 8x12, 4x6 and 2x3 pixels: points are fewer than most of them, some, one, and none."""
    torch.manual_seed(2)
    features = [feature.detach().requires_grad_() for feature in model.encoder(torch.randn(2, 3, 64, 96))]
    points = random_points(2, (16, 24), num_points, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 19, (2, 16, 24))
    labels[:, :, :4] = 255
    picked = at_points(labels[:, None], points)[:, 0]
    sampled = cross_entropy(model.head.forward_at(features, points), picked)
    dense = cross_entropy(at_points(model.head(features), points), picked)
    learning = [*features, *model.head.parameters()]
    torch.testing.assert_close(sampled, dense, rtol=1e-5, atol=1e-5)
    for one, other in zip(*(torch.autograd.grad(loss, learning) for loss in (sampled, dense)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_head_at_points_refuses_statistics_of_a_sample(model) -> None:
    features = model.encoder(torch.randn(1, 3, 32, 32))
    with pytest.raises(ValueError, match="put the batch norm in eval mode"):
        model.head.train().forward_at(features, torch.zeros(1, 4, dtype=torch.int64))
