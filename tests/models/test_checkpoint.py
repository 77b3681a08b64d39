"""Checkpoints: what was written comes back, and anything else is refused in one line that names the fault."""

import dataclasses
import json
import pickle
import tempfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.checkpoint import (
    CheckpointInvalid,
    Manifest,
    Source,
    find_checkpoint,
    load_checkpoint,
    load_into,
    load_model,
    load_source,
    save_checkpoint,
    shipped_checkpoints,
    state_with,
)
from models.light_decoder import LightDecoder
from models.zoo import build_model

NAMES = tuple(f"class_{k}" for k in range(3))
MANIFEST = Manifest(
    model="segformer_b0",
    num_classes=3,
    classes=NAMES,
    source=Source(dataset="synthetic", split="clear", size_HW=(64, 96)),
    recipe={"lr": 1e-3, "steps": 10},
    metrics={"miou": 0.71},
)
STATE = {"layer.weight": torch.arange(12.0).view(3, 4), "layer.bias": torch.tensor([1e-9, 2.0]), "n": torch.tensor(7)}


def saved(directory: Path) -> Path:
    path = directory / "small.safetensors"
    save_checkpoint(path, STATE, MANIFEST)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointInvalid) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_round_trip(tmp_path: Path) -> None:
    path = saved(tmp_path)
    state, manifest = load_checkpoint(path)
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)
    assert dataclasses.replace(manifest, sha256="") == MANIFEST
    assert len(manifest.sha256) == 64


def test_manifest_lies_beside_the_file_for_people(tmp_path: Path) -> None:
    path = saved(tmp_path)
    values = json.loads(path.with_suffix(".json").read_text())
    assert values["schema"] == 1
    assert values["source"]["size_HW"] == [64, 96]
    assert values["classes"] == list(NAMES)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["small.json", "small.safetensors"]


def test_half_precision_applies_to_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    state = {**STATE, "layer.weight": torch.tensor([[0.1, 1.0]])}
    save_checkpoint(path, state, MANIFEST, storage=torch.float16)
    loaded, _ = load_checkpoint(path)
    assert loaded["layer.weight"].dtype == torch.float32
    assert torch.equal(loaded["layer.weight"], state["layer.weight"].half().float())
    assert torch.equal(loaded["layer.bias"], state["layer.bias"])


def test_weights_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "big.safetensors"
    with pytest.raises(ValueError, match=r"w has values beyond the range of torch\.float16"):
        save_checkpoint(path, {"w": torch.full((2, 2), 1e6)}, MANIFEST, storage=torch.float16)
    assert not list(tmp_path.iterdir())


def test_model_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=3).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model.state_dict(), MANIFEST)
    loaded, manifest = load_model(str(path))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
    assert manifest.model == loaded.name
    with pytest.raises(CheckpointInvalid, match="holds segformer_b0, not segformer_b1"):
        load_model(path, model="segformer_b1")


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_any_truncation_is_refused(share: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = saved(Path(directory))
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        assert "not a complete safetensors file" in refusal(path)


@settings(max_examples=40, deadline=None)
@given(position=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused_or_harmless(position: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = saved(Path(directory))
        content = bytearray(path.read_bytes())
        content[int(position * len(content))] ^= 1 << bit
        path.write_bytes(content)
        try:
            state, _ = load_checkpoint(path)
        except CheckpointInvalid as error:
            assert "\n" not in str(error)
        else:
            assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_a_damaged_tensor_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "do not have the manifest's sha256" in refusal(path)


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"weight": [1.0]}))
    assert f"udaseg-runtime checkpoint convert {path} --to" in refusal(path)


def test_safetensors_without_manifest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(2)}, path)
    assert "no 'manifest'" in (message := refusal(path))
    assert f"udaseg-runtime checkpoint convert {path} --to" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema is 2, expected 1"),
        ({"classes": ["road"]}, "must have 3 names"),
        ({"surprise": 1}, "surprise"),
        ({"source": {"dataset": "x"}}, "size_HW"),
        ({"source": None}, "manifest is not as expected"),
    ],
)
def test_a_strange_manifest_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "strange.safetensors"
    text = json.dumps(dataclasses.asdict(MANIFEST) | change)
    safetensors.torch.save_file({"w": torch.zeros(2)}, path, metadata={"manifest": text})
    assert message in refusal(path)


def test_unknown_name_is_answered_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="nowhere: neither a file nor a shipped checkpoint"):
        load_checkpoint("nowhere")
    with pytest.raises(CheckpointInvalid, match="neither a file"):
        load_checkpoint(tmp_path)


def test_every_shipped_checkpoint_loads_by_name() -> None:
    for name in shipped_checkpoints():
        assert find_checkpoint(name).is_file()
        model, manifest = load_model(name)
        assert model.num_classes == len(manifest.classes)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "key encoder.stages.0.patch_embed.proj.bias is missing"),
        ("unexpected", "key head.extra is not in the model"),
        ("shape", "key head.classifier.weight is 5x256x1x1, expected 3x256x1x1"),
    ],
)
def test_incomplete_state_is_refused_and_nothing_is_copied(fault: str, message: str) -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=3)
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    if fault == "missing":
        del state["encoder.stages.0.patch_embed.proj.bias"]
    elif fault == "unexpected":
        state["head.extra"] = torch.zeros(1)
    else:
        state["head.classifier.weight"] = torch.zeros(5, 256, 1, 1)
    with pytest.raises(CheckpointInvalid, match=message):
        load_into(model, state)
    assert model.encoder.stages[0].patch_embed.proj.weight.abs().sum() > 0


def test_a_light_decoder_comes_and_goes_with_its_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_model("segformer_b0", num_classes=3).eval()
    decoder = LightDecoder.of(network)
    with torch.no_grad():
        decoder.fuse.weight.normal_()
    path, plain = tmp_path / "both.safetensors", tmp_path / "plain.safetensors"
    save_checkpoint(path, state_with(network, decoder), MANIFEST)
    save_checkpoint(plain, network.state_dict(), MANIFEST)
    loaded, light, _ = load_source(path)
    assert light is not None and not light.training
    features = torch.randn(1, 32, 4, 4)
    with torch.no_grad():
        assert torch.equal(light(features), decoder(features))
    assert loaded.state_dict().keys() == load_model(path)[0].state_dict().keys() == network.state_dict().keys()
    assert load_source(plain)[1] is None


def test_hamlets_network_must_bring_its_light_decoder(tmp_path: Path) -> None:
    network, path = build_model("hamlet_b0", num_classes=3), tmp_path / "hamlet.safetensors"
    manifest = dataclasses.replace(MANIFEST, model="hamlet_b0")
    save_checkpoint(path, network.state_dict(), manifest)
    with pytest.raises(CheckpointInvalid, match="holds hamlet_b0 without its light decoder"):
        load_source(path)
    save_checkpoint(path, state_with(network, LightDecoder.of(network)), manifest)
    assert load_source(path)[1] is not None


def test_half_a_light_decoder_is_refused(tmp_path: Path) -> None:
    network = build_model("segformer_b0", num_classes=3)
    state = state_with(network, LightDecoder.of(network))
    del state["light_decoder.classifier.bias"]
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, state, MANIFEST)
    with pytest.raises(CheckpointInvalid, match=r"key classifier\.bias is missing"):
        load_source(path)
