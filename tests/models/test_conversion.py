"""Every layout gives Hugging Face's logits on the same weights; nothing is loaded in part, or in silence."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from models.checkpoint import load_into
from models.conversion import convert, inspect
from models.light_decoder import PREFIX as LIGHT
from models.light_decoder import LightDecoder
from models.self_test import self_test
from models.tensorfile import CheckpointInvalid
from models.weightfile import WeightFile, read_weights
from models.zoo import build_model
from tests.models import foreign

X = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch):
    return foreign.library(monkeypatch)


@pytest.fixture
def theirs(transformers):
    return foreign.hugging_face(transformers)


def held(tmp_path, state, name="weights.pth") -> WeightFile:
    torch.save(state, tmp_path / name)
    return read_weights(tmp_path / name)


def loaded(conversion):
    model = build_model(conversion.model, num_classes=conversion.num_classes).eval()
    load_into(model, {n: t for n, t in conversion.state.items() if not n.startswith(LIGHT)})
    return model


def logits(conversion):
    with torch.no_grad():
        return loaded(conversion)(X)


LAYOUTS = {
    "Hugging Face SegFormer": lambda state: state,
    "Hugging Face SegFormer, published": foreign.to_version_4,
    "NVlabs SegFormer": lambda state: {"meta": {"epoch": 3}, "state_dict": foreign.to_original(state)},
    "HAMLET": foreign.to_hamlet,
    "HAMLET, no light decoder": lambda state: foreign.to_hamlet(state, with_light_decoder=False),
    "DAFormer": foreign.to_daformer,
    "DAFormer, several GPUs": lambda state: {f"module.{n}": t for n, t in foreign.to_daformer(state).items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_hugging_faces_logits(tmp_path, theirs, layout) -> None:
    conversion = convert(held(tmp_path, LAYOUTS[layout](theirs.state_dict())))
    with torch.no_grad():
        torch.testing.assert_close(logits(conversion), theirs(X).logits, rtol=1e-4, atol=1e-4)
    assert conversion.report.layout.startswith(layout.partition(",")[0])
    assert conversion.model == ("hamlet_b0" if layout == "HAMLET" else "segformer_b0")
    assert not conversion.report.fault()
    assert self_test(conversion) < 1e-5


@pytest.mark.parametrize(("size", "embed_channels", "model"), [("b1", 256, "segformer_b1"), ("b2", 256, "conv1_b2")])
def test_sizes_and_heads_are_told_apart(tmp_path, transformers, size, embed_channels, model) -> None:
    theirs = foreign.hugging_face(transformers, size, num_classes=4, embed_channels=embed_channels)
    conversion = convert(held(tmp_path, foreign.to_daformer(theirs.state_dict())))
    assert conversion.model.endswith(model) and conversion.num_classes == 4
    with torch.no_grad():
        torch.testing.assert_close(logits(conversion), theirs(X).logits, rtol=1e-4, atol=1e-4)


def with_mmseg_head(theirs, state):
    """mmsegmentation's head on their encoder with its epsilon: tensors, and logits in the published order of work."""
    for module in theirs.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    torch.manual_seed(2)
    head = {}
    for i, channels in enumerate(theirs.config.hidden_sizes):
        head[f"convs.{i}.conv.weight"] = torch.randn(256, channels, 1, 1) / channels**0.5
        head |= {f"convs.{i}.bn.{name}": value for name, value in norm_of(256).items()}
    head["fusion_conv.conv.weight"] = torch.randn(256, 1024, 1, 1) / 32
    head |= {f"fusion_conv.bn.{name}": value for name, value in norm_of(256).items()}
    head |= {"conv_seg.weight": torch.randn(19, 256, 1, 1) / 16, "conv_seg.bias": torch.randn(19)}
    with torch.no_grad():
        hidden = theirs.segformer(X, output_hidden_states=True).hidden_states
        maps = [block(head, f"convs.{i}", feature) for i, feature in enumerate(hidden)]
        maps = [F.interpolate(one, size=maps[0].shape[2:], mode="bilinear", align_corners=False) for one in maps]
        fused = block(head, "fusion_conv", torch.cat(maps, dim=1))
        expected = F.conv2d(fused, head["conv_seg.weight"], head["conv_seg.bias"])
    encoder = foreign.to_mmseg_encoder(state)
    return {**encoder, **{f"decode_head.{name}": value for name, value in head.items()}}, expected


def norm_of(channels):
    return {
        "weight": torch.rand(channels) + 0.5,
        "bias": torch.randn(channels),
        "running_mean": torch.randn(channels),
        "running_var": torch.rand(channels) + 0.5,
        "num_batches_tracked": torch.tensor(7),
    }


def block(tensors, stem, x):
    """A convolution, a batch norm and a ReLU."""
    bn = {name: tensors[f"{stem}.bn.{name}"] for name in ("running_mean", "running_var", "weight", "bias")}
    return F.relu(F.batch_norm(F.conv2d(x, tensors[f"{stem}.conv.weight"]), *bn.values()))


@pytest.mark.parametrize("size", ["b0", "b2"])
def test_mmsegmentations_network_is_read_with_its_own_head(tmp_path, transformers, size) -> None:
    """Of 256 embedding channels whatever the size of the encoder, unlike SegFormer's own."""
    theirs = foreign.hugging_face(transformers, size)
    state, expected = with_mmseg_head(theirs, theirs.state_dict())
    meta = {"dataset_meta": {"classes": ("road", "traffic light")}}
    conversion = convert(held(tmp_path, {"meta": meta, "state_dict": state}))
    assert conversion.model == f"segformer_mmseg_{size}"
    assert conversion.report.rearranged.permuted == ("head.linear_fuse.weight",)
    assert len(conversion.report.rearranged.folded) == 4
    torch.testing.assert_close(logits(conversion), expected, rtol=1e-4, atol=1e-4)
    assert self_test(conversion) < 1e-5


def test_the_classes_a_file_names_are_read(tmp_path, theirs) -> None:
    state = foreign.to_original(theirs.state_dict())
    assert held(tmp_path, {"meta": {"CLASSES": ("road", "car")}, "state_dict": state}).classes == ("road", "car")
    assert held(tmp_path, state).classes == ()
    (tmp_path / "config.json").write_text('{"id2label": {"10": "car", "2": "road"}}')
    assert held(tmp_path, state).classes == ("road", "car")
    (tmp_path / "config.json").write_text('{"id2label": {"0": "LABEL_0"}}')
    assert held(tmp_path, state).classes == ()


def test_an_omitted_permutation_is_found_by_the_self_test(tmp_path, theirs) -> None:
    conversion = convert(held(tmp_path, foreign.to_hamlet(theirs.state_dict())))
    name = "head.linear_fuse.weight"
    wrong = dataclasses.replace(conversion, state={**conversion.state, name: conversion.renamed[name]})
    with pytest.raises(CheckpointInvalid, match="answers otherwise than the published one"):
        self_test(wrong)


@pytest.mark.parametrize("swapped", ["keys and values", "not finite"])
def test_what_names_and_shapes_cannot_show_is_found_by_the_self_test(tmp_path, theirs, swapped) -> None:
    conversion = convert(held(tmp_path, theirs.state_dict()))
    name = "encoder.stages.3.blocks.1.attn.kv.weight"
    tensor = conversion.state[name]
    other = tensor.roll(len(tensor) // 2, 0) if swapped == "keys and values" else tensor * float("nan")
    with pytest.raises(CheckpointInvalid, match="answers otherwise"):
        self_test(dataclasses.replace(conversion, state={**conversion.state, name: other}))


def test_hamlets_light_decoder_comes_along(tmp_path, theirs) -> None:
    state = foreign.to_hamlet(theirs.state_dict())
    converted = convert(held(tmp_path, state)).state
    light = {name: tensor for name, tensor in converted.items() if name.startswith("light_decoder.")}
    assert len(light) == 10
    assert torch.equal(light["light_decoder.embed.weight"], converted["head.linear_c.0.weight"])
    assert torch.equal(light["light_decoder.fuse.weight"], state["decode_head.linear_fuse_m1.conv.weight"][:, :, 0, 0])


def light_logits(conversion):
    decoder = LightDecoder.of(network := loaded(conversion))
    load_into(decoder, {n.removeprefix(LIGHT): t for n, t in conversion.state.items() if n.startswith(LIGHT)})
    with torch.no_grad():
        return decoder(network.encoder.run_stages(X, stop=1)[0])


def expected_light_logits(theirs, state):
    """relu(bn(fuse_m1(linear_c0 f))), then pred_m1, on Hugging Face's features f of the first stage."""
    named = {n.removeprefix("decode_head."): t for n, t in state.items()}
    bn = {leaf: named[f"linear_fuse_m1.bn.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")}
    with torch.no_grad():
        f = theirs.segformer(X, output_hidden_states=True).hidden_states[0]
        embedded = F.conv2d(f, named["linear_c.0.proj.weight"][:, :, None, None], named["linear_c.0.proj.bias"])
        fused = F.relu(F.batch_norm(F.conv2d(embedded, named["linear_fuse_m1.conv.weight"]), *bn.values()))
        return F.conv2d(fused, named["linear_pred_m1.weight"], named["linear_pred_m1.bias"])


def test_hamlets_light_decoder_answers_by_the_published_formula(tmp_path, theirs) -> None:
    state = foreign.to_hamlet(theirs.state_dict())
    conversion, expected = convert(held(tmp_path, state)), expected_light_logits(theirs, state)
    assert expected.std() > 0.1
    torch.testing.assert_close(light_logits(conversion), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def wide():
    """The state of a B2 with its head of 768 channels, and what it answers."""
    with pytest.MonkeyPatch.context() as patch:
        theirs = foreign.hugging_face(foreign.library(patch), "b2", embed_channels=768)
        with torch.no_grad():
            return theirs.state_dict(), theirs(X).logits


@pytest.mark.parametrize("layout", ["Hugging Face SegFormer", "NVlabs SegFormer", "HAMLET"])
def test_a_wide_head_is_read_in_every_layout(tmp_path, wide, layout) -> None:
    state, expected = wide
    conversion = convert(held(tmp_path, LAYOUTS[layout](state)))
    torch.testing.assert_close(logits(conversion), expected, rtol=1e-4, atol=1e-4)
    assert conversion.model == ("hamlet_b2" if layout == "HAMLET" else "segformer_b2")


def test_a_wrong_light_decoder_is_found_by_the_self_test(tmp_path, theirs) -> None:
    conversion = convert(held(tmp_path, foreign.to_hamlet(theirs.state_dict())))
    assert self_test(conversion) < 1e-5
    name = "light_decoder.fuse.weight"
    wrong = dataclasses.replace(conversion, state={**conversion.state, name: conversion.state[name].T})
    with pytest.raises(CheckpointInvalid, match="answers otherwise than the published one"):
        self_test(wrong)


def test_a_file_of_a_run_holds_several_networks(tmp_path, theirs, transformers) -> None:
    other = foreign.hugging_face(transformers)
    with torch.no_grad():
        other.decode_head.classifier.bias.add_(1.0)
    run = {f"model.{n}": t for n, t in foreign.to_daformer(theirs.state_dict()).items()}
    run |= {f"ema_model.{n}": t for n, t in foreign.to_daformer(other.state_dict()).items()}
    file = held(tmp_path, {"state_dict": run, "optimizer": {"lr": 1.0}})
    assert set(file.networks) == {"model", "ema_model"}
    student, averaged = convert(file), convert(file, network="ema_model")
    torch.testing.assert_close(logits(averaged) - logits(student), torch.ones(2, 19, 16, 24), rtol=0, atol=1e-4)
    assert "ema_model" in "\n".join(student.report.lines())
    with pytest.raises(CheckpointInvalid, match="no network 'teacher'; it holds ema_model, model"):
        convert(file, network="teacher")


def test_an_encoder_alone_is_said_to_be_one(tmp_path, theirs) -> None:
    state = {n.removeprefix("backbone."): t for n, t in foreign.to_original(theirs.state_dict()).items()}
    state = {n: t for n, t in state.items() if not n.startswith("decode_head.")}
    file = held(tmp_path, {**state, "head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)})
    report = inspect(file)
    assert report.is_encoder and report.model == "segformer_b0" and not report.fault()
    assert dict(report.idle) == {"head.weight": "classifies ImageNet", "head.bias": "classifies ImageNet"}
    with pytest.raises(CheckpointInvalid, match="an encoder and no head"):
        convert(file)
    conversion = convert(file, num_classes=5, allow_encoder=True)
    assert self_test(conversion) < 1e-5
    assert all(name.startswith("head.") for name in conversion.report.drawn)
    with torch.no_grad():
        ours = build_model("segformer_b0", num_classes=5).eval()
        load_into(ours, conversion.state)
        expected = theirs.segformer(X, output_hidden_states=True).hidden_states
        for feature, reference in zip(ours.encoder(X), expected, strict=True):
            torch.testing.assert_close(feature, reference, rtol=1e-4, atol=1e-4)


def test_another_number_of_classes_draws_the_classifier_and_nothing_else(tmp_path, theirs) -> None:
    file = held(tmp_path, foreign.to_hamlet(theirs.state_dict()))
    conversion, whole = convert(file, num_classes=11), convert(file)
    drawn = {"head.classifier.weight", "head.classifier.bias"}
    drawn |= {"light_decoder.classifier.weight", "light_decoder.classifier.bias"}
    assert set(conversion.report.drawn) == drawn
    assert "RANDOM" in "\n".join(conversion.report.lines())
    assert all(torch.equal(tensor, conversion.state[name]) for name, tensor in whole.state.items() if name not in drawn)
    assert conversion.state["head.classifier.weight"].shape[0] == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("backbone.block2.1.attn.q.bias"), "1 tensors are missing (first encoder.stages.1.blocks.1."),
        (lambda s: s.update({"backbone.extra.weight": torch.zeros(1)}), "1 tensors are unexpected (first backbone.ex"),
        (lambda s: s.update({"backbone.norm1.weight": torch.zeros(3)}), "stages.0.norm.weight is 3, expected 32"),
        (lambda s: s.pop("backbone.patch_embed3.proj.weight"), "no patch embedding of stage 3"),
        (lambda s: s.pop("backbone.block4.1.norm1.weight"), "are missing"),
        (lambda s: s["backbone.norm2.bias"].fill_(math.nan), "stages.1.norm.bias holds values that are not finite"),
        (lambda s: s["decode_head.linear_pred.bias"].fill_(math.inf), "head.classifier.bias holds values"),
    ],
)
def test_a_network_that_is_not_whole_is_refused(tmp_path, theirs, change, message) -> None:
    state = foreign.to_original(theirs.state_dict())
    change(state)
    with pytest.raises(CheckpointInvalid) as caught:
        convert(held(tmp_path, state))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_state_of_ours_without_manifest_is_recognised(tmp_path) -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=3)
    conversion = convert(held(tmp_path, model.state_dict()))
    assert conversion.model == "segformer_b0" and "without a manifest" in conversion.report.layout
    assert all(torch.equal(tensor, conversion.state[name]) for name, tensor in model.state_dict().items())
