"""Names to networks."""

import pytest
import torch

from models.zoo import MODELS, build_model

# Encoder as published plus a 19-class head of width 256 (B0, B1) or 768 (the others), in parameters.
TOTALS = {
    "segformer_b0": 3_719_027,
    "segformer_b1": 13_682_131,
    "segformer_b2": 27_361_235,
    "segformer_b3": 47_237_075,
    "segformer_b4": 64_007_635,
    "segformer_b5": 84_607_955,
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_totals_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        model = build_model(name, num_classes=19)
    assert sum(parameter.numel() for parameter in model.parameters()) == TOTALS[name]
    assert model.name == name


def test_logits_come_at_stride_four() -> None:
    model = build_model("segformer_b0", num_classes=7).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, 64, 96)).shape == (2, 7, 16, 24)


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"segformer-b1.*nearest:.*segformer_b1") as caught:
        build_model("segformer-b1", num_classes=19)
    assert "\n" not in str(caught.value)


def test_number_of_classes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        build_model("segformer_b0", num_classes=0)
