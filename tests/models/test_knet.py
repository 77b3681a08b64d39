"""K-Net's head against its equations, computed in numpy in the published order: the map is transformed first."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.class_rows import take_classes
from models.knet import FEED_FORWARD, KNetHead, KNetStage
from models.points import at_points
from models.segformer import SegFormerHead
from models.supervision import supervised_loss
from models.trainable import set_trainable
from models.zoo import build_model

CHANNELS, SIZES = (8, 12, 16, 20), ((16, 24), (8, 12), (4, 6), (2, 3))
E, K = 16, 5


def head(num_stages=2):
    """With norms that are all distinct."""
    torch.manual_seed(0)
    made = KNetHead(SegFormerHead(CHANNELS, embed_channels=E, num_classes=K), num_stages=num_stages).eval()
    for parameter in made.stages.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    torch.nn.init.normal_(made.base.classifier.weight)
    return made


def maps(num=2):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(num, C, *size, generator=generator) for C, size in zip(CHANNELS, SIZES, strict=True)]


def by_numpy(stage: KNetStage, embedding, kernels, masks):
    """One round for one image: embedding (E, P), kernels (K, E), masks (K, P) to new kernels and masks."""
    w = {name: tensor.double().numpy() for name, tensor in stage.state_dict().items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)

    def norm(name, x):
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
        return centred / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]

    def sigmoid(x):
        return 1.0 / (1.0 + np.exp(-x))

    x = (w["transform.weight"] @ embedding) + w["transform.bias"][:, None]
    p = np.exp(masks - masks.max(0))
    group = (p / p.sum(0)) @ x.T
    of_features, of_kernels = linear("update.of_features", group), linear("update.of_kernels", kernels)
    gate = of_features[:, :E] * of_kernels[:, :E]
    feature_gate = sigmoid(norm("update.feature_gate.1", linear("update.feature_gate.0", gate)))
    kernel_gate = sigmoid(norm("update.kernel_gate.1", linear("update.kernel_gate.0", gate)))
    kernels = feature_gate * norm("update.feature_norm", of_features[:, E:])
    kernels = kernels + kernel_gate * norm("update.kernel_norm", of_kernels[:, E:])
    kernels = np.maximum(norm("update.out.1", linear("update.out.0", kernels)), 0.0)
    qkv = kernels @ w["attention.in_proj_weight"].T + w["attention.in_proj_bias"]
    seen = []
    for of_head in range(8):
        part = slice(of_head * E // 8, (of_head + 1) * E // 8)
        q, k, v = (qkv[:, n * E : (n + 1) * E][:, part] for n in range(3))
        a = np.exp(q @ k.T / math.sqrt(E / 8))
        seen.append(a / a.sum(1, keepdims=True) @ v)
    kernels = norm("attention_norm", kernels + linear("attention.out_proj", np.concatenate(seen, axis=1)))
    hidden = np.maximum(linear("feed_forward.0", kernels), 0.0)
    kernels = norm("feed_forward_norm", kernels + linear("feed_forward.2", hidden))
    new = linear("mask.3", np.maximum(norm("mask.1", linear("mask.0", kernels)), 0.0))
    return kernels, new @ x


def test_rounds_are_the_equations_of_the_paper() -> None:
    made = head()
    with torch.no_grad():
        embedding = made.embed(maps())
        first, *rounds = made.rounds(embedding)
    torch.testing.assert_close(first, made.base(maps()))
    for image in range(2):
        flat = embedding[image].flatten(1).double().numpy()
        kernels, masks = made.base.classifier.weight.detach().flatten(1).double().numpy(), first[image].flatten(1)
        masks = masks.detach().double().numpy()
        for stage, answered in zip(made.stages, rounds, strict=True):
            kernels, masks = by_numpy(stage, flat, kernels, masks)
            torch.testing.assert_close(
                answered[image].flatten(1).double(), torch.from_numpy(masks), atol=2e-3, rtol=1e-3
            )


def test_the_answer_is_the_last_rounds_and_training_hears_of_all_alike() -> None:
    made, labels = head(3), torch.randint(0, K, (2, 64, 96), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        answers = made.supervised(maps())
        torch.testing.assert_close(answers[-1].logits_BKhw, made(maps()))
        expected = sum(F.cross_entropy(answer.logits_BKhw, labels[:, 2::4, 2::4]) for answer in answers)
        torch.testing.assert_close(supervised_loss(answers, labels), expected)
    assert len(answers) == 4


@pytest.mark.parametrize("name", ["knet_b0", "timm:test_convnext+knet", "timm:test_vit+knet"])
def test_every_parameter_learns(name) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=3).train()
    x = torch.randn(2, 3, 64, 96)
    answers = model.supervised(x)
    torch.autograd.backward(supervised_loss(answers, torch.randint(0, 3, (2, 64, 96))))
    assert {key for key, parameter in model.head.named_parameters() if parameter.grad is None} == set()
    assert [answer.logits_BKhw.shape for answer in answers] == [(2, 3, 16, 24)] * 4
    assert set_trainable(model, "head").trainable == sum(p.numel() for p in model.head.parameters())


def test_parameters_are_those_of_the_published_layers() -> None:
    """Per round, C = 256 channels: update, attention, feed-forward network of 2048, masks, transform; and the norms."""
    C = 256
    update = 2 * (2 * C * C + 2 * C) + 3 * (C * C + C)
    attention, feed_forward = 4 * (C * C + C), 2 * C * FEED_FORWARD + FEED_FORWARD + C
    masks, transform, norms = C * C + (C * C + C), C * C + C, 2 * C * (5 + 2 + 1)
    with torch.device("meta"):
        model, plain = build_model("knet_b5", num_classes=19), build_model("daformer_conv1_b5", num_classes=19)
    added = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in plain.parameters())
    assert FEED_FORWARD == 2048 and added == 3 * (update + attention + feed_forward + masks + transform + norms)


def test_classes_in_another_order_are_answered_in_that_order() -> None:
    """No round knows a kernel by its number."""
    made, order = head(), [3, 0, 4, 1, 2]
    with torch.no_grad():
        before = made(maps())
        made.base.classifier.weight.copy_(made.base.classifier.weight[order])
        made.base.classifier.bias.copy_(made.base.classifier.bias[order])
        torch.testing.assert_close(made(maps()), before[:, order], atol=1e-3, rtol=1e-3)


def test_classes_are_taken_of_the_answer_so_that_kernels_stay_together() -> None:
    torch.manual_seed(0)
    model = build_model("knet_b0", num_classes=4).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        take_classes(model, None, (2, None, 0))
        after = model(x)
    assert model.num_classes == after.shape[1] == 3 and not (after.argmax(dim=1) == 1).any()
    assert torch.equal(after[:, [0, 2]], before[:, [2, 0]])


def test_logits_at_points_are_those_of_the_whole_picture() -> None:
    made, points = head(), torch.tensor([[0, 200], [383, 7]])
    with torch.no_grad():
        torch.testing.assert_close(made.forward_at(maps(), points), at_points(made(maps()), points))
