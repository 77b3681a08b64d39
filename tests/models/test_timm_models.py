"""timm's networks give the features timm itself reads from them, stage by stage, at any image size."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.encoder import ModelUnsuitable
from models.tensorfile import CheckpointInvalid, write_tensors
from models.timm_models import build_timm, load_timm_encoder
from models.zoo import build_model
from tests.models.timm_samples import CONVNEXT, NUM_CLASSES, PVT, RESNET, ROTARY, SWIN, VIT, image, sample

PYRAMIDS, COLUMNS = (CONVNEXT, SWIN, PVT, RESNET), (VIT, ROTARY)
# Of the classification networks with 1000 classes, as timm's tables and the papers give them.
DOCUMENTED = {SWIN: 28_288_354, PVT: 3_666_760, "timm:convnext_tiny": 28_589_128, "timm:resnet50": 25_557_032}
LAST_CHANNELS = {SWIN: 768, PVT: 256, "timm:convnext_tiny": 768, "timm:resnet50": 2048}
WITH_FINAL_NORM = (SWIN, "timm:convnext_tiny")


def reference(name: str, **options):
    """timm's whole classification network, as its users build it."""
    import timm

    torch.manual_seed(1)
    return timm.create_model(name.removeprefix("timm:"), **options).eval()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_encoders_have_the_documented_parameters_but_for_the_classifier(name) -> None:
    channels = LAST_CHANNELS[name]
    classifier = 1000 * channels + 1000 + (2 * channels if name in WITH_FINAL_NORM else 0)
    model = sample(name) if name in (SWIN, PVT) else build_model(name, num_classes=2)
    assert sum(p.numel() for p in model.encoder.parameters()) == DOCUMENTED[name] - classifier


@pytest.mark.parametrize(("name", "documented_M"), [("timm:vit_small_patch14_dinov2", 22.1), (ROTARY, 21.6)])
def test_vits_have_the_documented_parameters_in_millions(name, documented_M) -> None:
    model = sample(name) if name == ROTARY else build_model(name, num_classes=2)
    assert round(sum(p.numel() for p in model.encoder.parameters()) / 1e6, 1) == documented_M


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        (CONVNEXT, {}, (64, 96)),
        (PVT, {}, (64, 96)),
        (RESNET, {}, (64, 96)),
        (SWIN, {"always_partition": True, "strict_img_size": False}, (64, 96)),
        (VIT, {}, (160, 160)),
        (ROTARY, {}, (256, 256)),
    ],
)
def test_features_are_those_timm_reads_from_the_same_weights(tmp_path, name, options, size) -> None:
    """The weights travel as a file in timm's layout."""
    theirs = reference(name, **options)
    write_tensors(tmp_path / "theirs.safetensors", theirs.state_dict(), metadata={})
    model = sample(name)
    load_timm_encoder(model, tmp_path / "theirs.safetensors")
    is_column = name in COLUMNS
    depth = len(theirs.feature_info)
    taken = [depth * k // 4 - 1 for k in (1, 2, 3, 4)] if is_column else [depth - 4, depth - 3, depth - 2, depth - 1]
    with torch.no_grad():
        ours = model.encoder(image(*size))
        x = model.encoder.entry(image(*size))
        expected = theirs.forward_intermediates(x, indices=taken, norm=is_column, intermediates_only=True)
    for our_map, their_map in zip(ours, expected, strict=True):
        torch.testing.assert_close(our_map, their_map, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*PYRAMIDS, *COLUMNS])
def test_channels_and_strides_are_those_of_the_maps_and_any_size_will_do(name) -> None:
    model = sample(name)
    for size in ((64, 96), (70, 90)):
        with torch.no_grad():
            features = model.encoder(image(*size))
            logits = model(image(*size))
        assert [f.shape[1] for f in features] == list(model.encoder.channels)
        for feature, stride in zip(features, model.encoder.strides, strict=True):
            rounded = [abs(side / stride - length) < 1 for side, length in zip(size, feature.shape[2:], strict=True)]
            assert all(rounded), (size, stride, feature.shape)
        assert logits.shape == (1, NUM_CLASSES, *features[0].shape[2:])


@pytest.mark.parametrize("name", PYRAMIDS)
def test_stages_go_on_from_the_map_before(name) -> None:
    encoder = sample(name).encoder
    with torch.no_grad():
        whole = encoder(image())
        first = encoder.run_stages(image(), stop=2)
        rest = encoder.run_stages(first[-1], start=2)
    assert encoder.is_restartable and len(first) == 2
    for ours, expected in zip([*first, *rest], whole, strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_plain_vit_runs_as_a_whole_or_is_refused(name) -> None:
    encoder = sample(name).encoder
    assert not encoder.is_restartable
    assert encoder.run_stages(torch.zeros(1, 4, 2, 2), start=4) == []
    with torch.no_grad():
        assert len(encoder.run_stages(image(), stop=2)) == 2
    with pytest.raises(ModelUnsuitable, match="cannot be run by themselves"):
        encoder.run_stages(image(), start=1)


def test_sides_that_patches_do_not_divide_are_stretched_to_the_next_multiple() -> None:
    encoder, x = sample(VIT).encoder, image(40, 70)
    stretched = F.interpolate(x, size=(48, 80), mode="bilinear", align_corners=False)
    with torch.no_grad():
        ours, expected = encoder(x), encoder(stretched)
    assert encoder.fitted((40, 70)) == (48, 80) and ours[0].shape[2:] == (3, 5)
    for our_map, expected_map in zip(ours, expected, strict=True):
        torch.testing.assert_close(our_map, expected_map, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "channels", "sides"),
    [
        ("timm:convit_tiny", (192, 192, 192, 192), (14, 14, 14, 14)),
        ("timm:hiera_tiny_224", (96, 192, 384, 768), (56, 28, 14, 7)),
    ],
)
def test_a_network_that_takes_one_size_is_shown_that(name, channels, sides) -> None:
    model = build_model(name, num_classes=2).eval()
    with torch.no_grad():
        shapes = [tuple(feature.shape) for feature in model.encoder(image(40, 70))]
    assert shapes == [(1, C, side, side) for C, side in zip(channels, sides, strict=True)]
    assert model.encoder.fitted((40, 70)) == (224, 224)


def test_a_network_whose_stages_must_divide_is_shown_what_they_do() -> None:
    model = build_model("timm:lambda_resnet26t", num_classes=2).eval()
    with torch.no_grad():
        assert model(image(70, 90)).shape == (1, 2, 24, 24)
    assert model.encoder.fitted((70, 90)) == (96, 96) and model.encoder.fitted((64, 96)) == (64, 96)


def test_a_final_norm_that_narrows_the_maps_is_heard_of_by_the_head() -> None:
    """SAM's ends in a neck: 768 channels become 256. Shapes alone: the network is a large one."""
    with torch.device("meta"):
        model = build_model("timm:samvit_base_patch16", num_classes=2).eval()
        assert model(torch.zeros(1, 3, 40, 70)).shape == (1, 2, 3, 5)
    assert model.encoder.channels == (256, 256, 256, 256)


@pytest.mark.parametrize("name", [*PYRAMIDS, *COLUMNS])
def test_every_parameter_belongs_to_a_stage_and_every_stage_has_some(name) -> None:
    encoder = sample(name).encoder
    stages = [encoder.stage_of(parameter_name) for parameter_name, _ in encoder.named_parameters()]
    assert set(stages) == {0, 1, 2, 3}
    if name in PYRAMIDS:
        assert stages == sorted(stages)


def test_blocks_of_a_vit_fall_into_quarters() -> None:
    encoder = sample(ROTARY).encoder
    blocks = [encoder.stage_of(f"body.model.blocks.{n}.mlp.fc1.weight") for n in range(12)]
    assert blocks == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert encoder.stage_of("body.model.patch_embed.proj.weight") == 0
    assert encoder.stage_of("body.model.norm.weight") == 3


@pytest.mark.parametrize(
    ("name", "head", "stride"),
    [
        (VIT, "LinearHead", 16),
        ("timm:test_vit+upernet", "UperNetHead", 4),
        (CONVNEXT, "SegFormerHead", 4),
        ("timm:test_convnext+upernet", "UperNetHead", 4),
        ("timm:test_convnext+daformer", "DAFormerHead", 4),
        ("timm:test_convnext+knet", "KNetHead", 4),
        ("timm:test_vit+knet", "KNetHead", 4),
        ("timm:test_resnet+deeplabv2", "DeepLabV2Head", 8),
        ("timm:test_resnet+deeplabv3plus", "DeepLabV3PlusHead", 4),
    ],
)
def test_heads_are_chosen_by_name(name, head, stride) -> None:
    model = build_model(name, num_classes=3).eval()
    with torch.no_grad():
        assert model(image(64, 96)).shape == (1, 3, 64 // stride, 96 // stride)
    assert (type(model.head).__name__, model.name, model.num_classes) == (head, name, 3)


def test_heads_of_deeplab_dilate_the_encoder() -> None:
    assert build_model("timm:test_resnet+deeplabv2", num_classes=3).encoder.strides == (4, 8, 8, 8)
    assert build_model("timm:test_resnet+deeplabv3plus", num_classes=3).encoder.strides == (4, 8, 16, 16)


def test_a_network_trained_on_other_statistics_gets_those() -> None:
    """Of vit_tiny_patch16_224 both are 0.5."""
    entry = build_model("timm:vit_tiny_patch16_224", num_classes=2).encoder.entry
    white = (torch.tensor([1.0, 1.0, 1.0]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    x = white[None, :, None, None].expand(1, 3, 16, 16)
    torch.testing.assert_close(entry(x), torch.ones(1, 3, 16, 16), atol=1e-5, rtol=0)


def test_nothing_but_random_weights_is_loaded() -> None:
    torch.manual_seed(3)
    one = build_timm(CONVNEXT, 2).state_dict()
    torch.manual_seed(3)
    other = build_timm(CONVNEXT, 2).state_dict()
    torch.manual_seed(4)
    third = build_timm(CONVNEXT, 2).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], third[name]) for name in one)
    assert all(math.isfinite(float(tensor.float().sum())) for tensor in one.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:convnext_tinny", "timm has no such model; nearest: convnext_tiny"),
        ("timm:hf-hub:someone/model", "timm has no such model"),
        ("timm:test_vit+linaer", "no such head; nearest: linear"),
        ("timm:test_vit+deeplabv2", "a dilated stride"),
        ("timm:mixer_s16_224+deeplabv2", "a dilated stride"),
        ("timm:selecsls42", "does not run as an encoder"),
    ],
)
def test_what_cannot_be_had_is_refused_in_one_line(name, message) -> None:
    with pytest.raises(ModelUnsuitable, match=message) as caught:
        build_model(name, num_classes=2)
    assert "\n" not in str(caught.value)


def test_weights_reach_an_encoder_within_hrda(tmp_path) -> None:
    theirs = reference(CONVNEXT)
    write_tensors(tmp_path / "theirs.safetensors", theirs.state_dict(), metadata={})
    model, plain = build_model(f"hrda:{CONVNEXT}", num_classes=2), sample(CONVNEXT)
    for network in (model, plain):
        load_timm_encoder(network, tmp_path / "theirs.safetensors")
    expected, actual = plain.encoder.state_dict(), model.encoder.base.state_dict()
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path) -> None:
    model = sample(CONVNEXT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    write_tensors(tmp_path / "other.safetensors", nn.Linear(2, 2).state_dict(), metadata={})
    with pytest.raises(CheckpointInvalid, match="not weights of test_convnext") as caught:
        load_timm_encoder(model, tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
