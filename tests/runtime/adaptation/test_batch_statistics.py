"""Batch norms under a frame's own statistics, against torch's training mode and the head's plain order of work."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.segformer import SegmentationModel
from runtime.adaptation.batch_statistics import moving_norms, norms_watched, own_statistics
from tests.runtime.adaptation.samples import make_student, with_fixed_statistics


def random_images(seed: int = 1) -> Tensor:
    return torch.randn((1, 3, 32, 64), generator=torch.Generator().manual_seed(seed))


def input_of_the_heads_norm(model: SegmentationModel, x_B3HW: Tensor) -> Tensor:
    """The sum before batch norm in the published order: project, upsample, concatenate, fuse."""
    features = model.encoder(x_B3HW)
    size_HW = features[0].shape[-2:]
    maps = [
        F.interpolate(embed(f.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), size=size_HW, mode="bilinear")
        for embed, f in zip(model.head.linear_c, features, strict=True)
    ]
    return model.head.linear_fuse(torch.cat(maps[::-1], dim=1))


class TwoNorms(nn.Module):
    """Batch norm after batch norm, the second of which sees what the first makes of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.adaptable_names = tuple(
            f"{norm}.{leaf}" for norm in ("first", "second") for leaf in ("running_mean", "running_var")
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.second(2.0 * self.first(x_BCHW) + 1.0)


def test_own_statistics_are_those_of_torchs_training_mode() -> None:
    model, x_B3HW = make_student("norm"), random_images()
    norm = nn.BatchNorm2d(model.head.embed_channels, momentum=1.0).train()
    expected = model.head.classify(F.relu(norm(input_of_the_heads_norm(model, x_B3HW))))
    with own_statistics(model):
        logits = model(x_B3HW)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.head.bn.running_mean, norm.running_mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.head.bn.running_var, norm.running_var, atol=1e-5, rtol=1e-4)


def test_in_eval_mode_the_next_frame_is_normalised_by_what_was_taken_over() -> None:
    model, x_B3HW = make_student("norm"), random_images()
    with own_statistics(model):
        own = model(x_B3HW)
    num = own[0, 0].numel()
    assert not model.head.bn.training
    # The same but for the variance, which is kept unbiased: n / (n - 1) under the root.
    torch.testing.assert_close(model(x_B3HW), own, atol=2.0 / num, rtol=2.0 / num)


def test_statistics_can_be_used_without_being_taken_over() -> None:
    model, x_B3HW = make_student("norm"), random_images()
    before = [tensor.clone() for tensor in (model.head.bn.running_mean, model.head.bn.running_var)]
    with own_statistics(model, momentum=0.0):
        peeked = model(x_B3HW)
    assert torch.equal(model.head.bn.running_mean, before[0]) and torch.equal(model.head.bn.running_var, before[1])
    with own_statistics(model):
        assert torch.equal(model(x_B3HW), peeked)


def test_norms_are_as_they_were_after_an_error() -> None:
    model = make_student("norm")
    with pytest.raises(RuntimeError, match="midway"), own_statistics(model):
        assert model.head.bn.training and model.head.bn.momentum == 1.0
        raise RuntimeError("midway")
    assert not model.head.bn.training and model.head.bn.momentum == 0.1
    with pytest.raises(RuntimeError, match="midway"), norms_watched(model, lambda *_: None):
        raise RuntimeError("midway")
    assert not model.head.bn.training and not model.head.bn._forward_pre_hooks


def test_frozen_statistics_stay_whatever_is_asked() -> None:
    model, x_B3HW = with_fixed_statistics(make_student()), random_images()
    frozen, before = model(x_B3HW), model.head.bn.running_mean.clone()
    seen: list[str] = []
    with own_statistics(model):
        assert torch.equal(model(x_B3HW), frozen)
    with norms_watched(model, lambda name, *_: seen.append(name)):
        assert torch.equal(model(x_B3HW), frozen)
    assert moving_norms(model) == {} and seen == [] and torch.equal(model.head.bn.running_mean, before)


def test_what_is_watched_is_the_input_of_the_norm() -> None:
    model, x_B3HW = make_student("norm"), random_images()
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    with torch.no_grad(), norms_watched(model, lambda name, _, mean_C, var_C: seen.update({name: (mean_C, var_C)})):
        model(x_B3HW)
    sum_BEHW = input_of_the_heads_norm(model, x_B3HW)
    assert list(seen) == ["head.bn"]
    torch.testing.assert_close(seen["head.bn"][0], sum_BEHW.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen["head.bn"][1], sum_BEHW.var(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_a_norm_behind_another_sees_what_the_moved_statistics_make() -> None:
    """The first norm takes its input's statistics, so the second's input has mean 1 and deviation 2."""
    model, x_BCHW = TwoNorms().eval(), 5.0 + 3.0 * torch.randn(1, 3, 40, 50)
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def take_over(name: str, norm: nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
        seen[name] = (mean_C, variance_C)
        norm.running_mean.copy_(mean_C)
        norm.running_var.copy_(variance_C)

    with torch.no_grad(), norms_watched(model, take_over):
        answer = model(x_BCHW)
    torch.testing.assert_close(seen["second"][0], torch.ones(3), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(seen["second"][1], torch.full((3,), 4.0), atol=1e-3, rtol=0.0)
    torch.testing.assert_close(answer, model(x_BCHW))
