"""The probe tells a model that answers source samples like the frozen one from a model that does not."""

# B batch, H height, W width, K classes

import copy

import pytest
import torch
from torch import Tensor, nn

from models.zoo import build_model
from runtime.guard import Guard
from runtime.probe import SAMPLES, Probe

NUM_CLASSES = 3


class ByBrightness(nn.Module):
    """Classes by thirds of the brightness, exactly; `renamed` maps every answer to another class."""

    def __init__(self, renamed: tuple[int, ...] = (0, 1, 2)) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.renamed_K = torch.tensor(renamed)
        self.seen_HW = (0, 0)

    def forward(self, x_B3HW: Tensor) -> Tensor:
        self.seen_HW = (x_B3HW.shape[2], x_B3HW.shape[3])
        grey_BHW = (x_B3HW[:, 0] * 58.395 + 123.675).round()
        answer_BHW = self.renamed_K[(grey_BHW // 86).long().clamp(0, 2)]
        return nn.functional.one_hot(answer_BHW, NUM_CLASSES).permute(0, 3, 1, 2).float()


def make_probe(frozen: nn.Module | None = None, *, size: int = 12) -> Probe:
    """Samples of three bands whose labels are their thirds of brightness."""
    labels_HW = torch.arange(3, dtype=torch.uint8).repeat_interleave(size // 3)[:, None].expand(size, size)
    image_HWC = (labels_HW[..., None] * 86 + 40).expand(-1, -1, 3).to(torch.uint8)
    images_NHWC, labels_NHW = image_HWC.expand(SAMPLES, -1, -1, -1), labels_HW.expand(SAMPLES, -1, -1)
    return Probe(images_NHWC.contiguous(), labels_NHW, frozen=frozen or ByBrightness(), num_classes=NUM_CLASSES)


def test_the_frozen_model_agrees_with_itself() -> None:
    reading = make_probe().read(ByBrightness())
    assert (reading.newest_agreement, reading.agreement, reading.miou, reading.miou_frozen) == (1.0, 1.0, 1.0, 1.0)
    assert reading.lost_class is None


def test_one_sample_is_read_at_a_time_and_all_are_judged() -> None:
    probe, swapped = make_probe(), ByBrightness((0, 2, 1))
    agreements = [probe.read(swapped).agreement for _ in range(SAMPLES)]
    assert agreements == pytest.approx([1 - (n + 1) * 2 / 3 / SAMPLES for n in range(SAMPLES)])
    assert probe.read(swapped).miou == pytest.approx(1 / 3)  # class 0 alone is right


def test_a_class_that_is_gone_is_named() -> None:
    probe, blind = make_probe(), ByBrightness((0, 1, 1))
    readings = [probe.read(blind) for _ in range(SAMPLES)]
    assert readings[0].lost_class is None and readings[-1].lost_class == 2


def test_a_probe_that_was_reset_has_forgotten() -> None:
    probe = make_probe()
    for _ in range(SAMPLES):
        probe.read(ByBrightness((2, 2, 2)))
    probe.reset()
    assert probe.read(ByBrightness()).agreement == 1.0


@pytest.mark.parametrize(("size", "looked_at"), [(96, 96), (192, 96), (516, 129)])
def test_large_samples_are_looked_at_by_half_and_the_largest_by_a_quarter(size: int, looked_at: int) -> None:
    probe, model = make_probe(size=size), ByBrightness()
    reading = probe.read(model)
    assert model.seen_HW == (looked_at, looked_at) and reading.agreement == 1.0 and reading.miou == 1.0


@pytest.mark.parametrize(
    ("renamed", "reason"), [((2, 2, 2), "one source sample"), ((0, 1, 1), "of source samples"), ((0, 1, 2), "")]
)
def test_the_guard_refuses_what_the_probe_finds(renamed: tuple[int, ...], reason: str) -> None:
    source = {"w": torch.ones(2)}
    guard = Guard(source, probe=make_probe())
    refusals = [guard.refusal(source, ByBrightness(renamed)) for _ in range(SAMPLES)]
    assert reason in refusals[-1] and bool(refusals[-1]) == bool(reason)


def test_labels_that_the_frozen_model_never_agreed_with_do_not_excuse_a_collapse() -> None:
    """Shuffled labels: by its mIoU the candidate gains, by its answers it has collapsed."""
    source = {"w": torch.ones(2)}
    guard = Guard(source, probe=make_probe(ByBrightness((2, 0, 1))))
    assert guard.refusal(source, ByBrightness())


def test_networks_are_compared_in_the_precision_they_answer_in() -> None:
    """A network that is undecided everywhere, so that rounding shows in the classes."""
    torch.manual_seed(0)
    frozen = build_model("segformer_b0", num_classes=NUM_CLASSES).eval()
    with torch.no_grad():
        logits_BKHW = frozen(torch.randn(1, 3, 48, 48))
        frozen.head.classifier.bias.sub_(logits_BKHW.mean(dim=(0, 2, 3)))
    exact = copy.deepcopy(frozen)
    frozen.answers_in = torch.bfloat16
    images_NHWC = torch.randint(0, 256, (2, 48, 48, 3), dtype=torch.uint8)
    probe = Probe(images_NHWC, torch.zeros(2, 48, 48, dtype=torch.uint8), frozen=frozen, num_classes=NUM_CLASSES)
    assert probe.read(frozen).newest_agreement == 1.0
    assert 0.9 < probe.read(exact).newest_agreement < 1.0
