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


# DAFormer's decoders on MiT-B5 in millions of parameters (its table 7).
DECODERS = {"daformer_b5": 3.7, "daformer_isa_b5": 1.1, "daformer_conv1_b5": 0.5, "segformer_b5": 3.2}


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", sorted(TOTALS))
def test_totals_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        assert parameters(build_model(name, num_classes=19)) == TOTALS[name]


@pytest.mark.parametrize("name", sorted(DECODERS))
def test_decoders_have_the_published_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        assert round(parameters(build_model(name, num_classes=19).head) / 1e6, 1) == DECODERS[name]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_name_is_its_models_own(name: str) -> None:
    with torch.device("meta"):
        model, plain = build_model(name, num_classes=19), build_model(f"segformer_{name[-2:]}", num_classes=19)
    assert model.name == name
    assert parameters(model.encoder) == parameters(plain.encoder)


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
