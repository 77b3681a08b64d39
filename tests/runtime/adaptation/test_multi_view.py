"""Many views, against a plain loop over them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.adaptation.multi_view import PUBLISHED_SCALES, look
from tests.runtime.adaptation.samples import make_student


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return make_student()


def plain_loop(model: nn.Module, x_B3HW: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Every view resized, answered, resized to the size at scale 1, mirrored back; the mean of the probabilities."""
    size = model(x_B3HW).shape[2:]
    views = []
    for scale in scales:
        resized = F.interpolate(
            x_B3HW, size=[round(side * scale) for side in x_B3HW.shape[2:]], mode="bilinear", align_corners=False
        )
        for is_mirrored in (False, True):
            logits = model(torch.flip(resized, [3]) if is_mirrored else resized)
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
            views.append(torch.flip(logits, [3]).softmax(1) if is_mirrored else logits.softmax(1))
    return torch.stack(views).mean(dim=0)


@pytest.mark.parametrize("scales", [PUBLISHED_SCALES, (1.0,), (0.5, 1.0)])
@torch.no_grad()
def test_views_are_averaged_as_a_plain_loop_does(model: nn.Module, scales: tuple[float, ...]) -> None:
    x_B3HW = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    answers = look(model, x_B3HW, scales=scales)
    expected = plain_loop(model, x_B3HW, scales)
    assert answers.mean_BKhw.shape == (1, 4, 16, 24)
    assert torch.allclose(answers.mean_BKhw, expected, atol=1e-6)
    assert torch.equal(answers.plain_BKhw, model(x_B3HW).softmax(dim=1))
    assert not torch.allclose(answers.mean_BKhw, answers.plain_BKhw, atol=1e-4)


def test_fourteen_views_are_published() -> None:
    assert len(PUBLISHED_SCALES) == 7


class Counting(nn.Module):
    """Answers with its input's first channels and counts pixels asked."""

    def __init__(self) -> None:
        super().__init__()
        self.num_pixels: list[int] = []

    def forward(self, x_B3HW: Tensor) -> Tensor:
        self.num_pixels.append(x_B3HW.shape[2] * x_B3HW.shape[3])
        return x_B3HW[:, :, ::4, ::4]


def test_the_plain_view_is_asked_once_and_all_cost_25_frames() -> None:
    counting = Counting()
    look(counting, torch.zeros(1, 3, 64, 128))
    assert len(counting.num_pixels) == 14
    assert sum(counting.num_pixels) / (64 * 128) == pytest.approx(25.375)


def test_tiny_views_stay_large_enough_for_the_encoder(model: nn.Module) -> None:
    answers = look(model, torch.zeros(1, 3, 32, 64), scales=(0.5, 1.0))
    assert bool(torch.isfinite(answers.mean_BKhw).all())


def test_the_plain_view_must_be_among_them(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="must hold 1"):
        look(model, torch.zeros(1, 3, 32, 64), scales=(0.5,))
