"""The encoder is the published one: shapes, counts, restart from a stage, stochastic depth."""

import pytest
import torch

from models.mit import MIT_CONFIGS, STRIDES, DropPath, MixTransformer

# Xie et al. 2021, table 6 and the parameter column "Encoder" of table 1a (millions).
PUBLISHED_MILLIONS = {"b0": 3.4, "b1": 13.1, "b2": 24.2, "b3": 44.0, "b4": 60.8, "b5": 81.4}
# Sums over the layers of the authors' code (mit_b0 .. mit_b5 without the ImageNet classifier).
EXACT = {"b0": 3_319_392, "b1": 13_151_424, "b2": 24_196_288, "b3": 44_072_128, "b4": 60_842_688, "b5": 81_443_008}


@pytest.fixture
def encoder() -> MixTransformer:
    torch.manual_seed(0)
    return MixTransformer(MIT_CONFIGS["b0"]).eval()


@pytest.mark.parametrize("size", sorted(MIT_CONFIGS))
def test_parameter_counts_are_the_published_ones(size: str) -> None:
    with torch.device("meta"):
        model = MixTransformer(MIT_CONFIGS[size])
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == EXACT[size]
    assert count / 1e6 == pytest.approx(PUBLISHED_MILLIONS[size], abs=0.1)


@pytest.mark.parametrize("size_HW", [(64, 96), (45, 70)])
def test_four_maps_at_strides_4_to_32(encoder: MixTransformer, size_HW: tuple[int, int]) -> None:
    with torch.no_grad():
        features = encoder(torch.randn(2, 3, *size_HW))
    shapes = [tuple(feature.shape) for feature in features]
    expected = [-(-size_HW[0] // stride) for stride in STRIDES], [-(-size_HW[1] // stride) for stride in STRIDES]
    assert shapes == [(2, c, h, w) for c, h, w in zip((32, 64, 160, 256), *expected, strict=True)]
    assert all(feature.is_contiguous(memory_format=torch.channels_last) for feature in features)


def test_stages_restart_from_a_cached_prefix(encoder: MixTransformer) -> None:
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        whole = encoder(x)
        prefix = encoder.run_stages(x, stop=2)
        suffix = encoder.run_stages(prefix[-1], start=2)
    for a, b in zip(whole, prefix + suffix, strict=True):
        assert torch.equal(a, b)


def test_input_layout_does_not_matter(encoder: MixTransformer) -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(encoder(x), encoder(x.contiguous(memory_format=torch.channels_last)), strict=True):
            torch.testing.assert_close(a, b)


def test_drop_path_rates_grow_linearly_to_a_tenth(encoder: MixTransformer) -> None:
    rates = [module.rate for module in encoder.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.1 * i / 7 for i in range(8)])


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    y = drop(torch.ones(4000, 1, 1, 2))
    assert torch.equal(y[..., 0], y[..., 1])
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert y.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(3, 1, 1, 2)), torch.ones(3, 1, 1, 2))
