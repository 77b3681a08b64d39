"""What is written in another program's layout is, tensor by tensor, what it would have written."""

import dataclasses

import pytest
import safetensors.torch
import torch

from models.checkpoint import Manifest, Source
from models.conversion import convert
from models.export import exported, write_layout
from models.layouts import LAYOUTS
from models.tensorfile import CheckpointInvalid
from models.weightfile import WeightFile, read_weights
from models.zoo import build_model
from tests.models import foreign

MANIFEST = Manifest("segformer_b0", 2, ("road", "sky"), Source("unknown", "", (64, 96)))
THEIRS = {
    "nvlabs": foreign.to_original,
    "huggingface": foreign.to_version_4,
    "hamlet": foreign.to_hamlet,
    "daformer": foreign.to_daformer,
}


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch):
    return foreign.library(monkeypatch)


@pytest.mark.parametrize("layout", THEIRS)
def test_there_and_back_is_the_same_file(tmp_path, transformers, layout) -> None:
    original = THEIRS[layout](foreign.hugging_face(transformers).state_dict())
    conversion = convert(WeightFile(tmp_path, {"": original}, (), ()))
    back = exported(conversion.state, LAYOUTS[layout])
    idle = {name for name in original if name.startswith("decode_head.conv_seg") and layout != "daformer"}
    assert back.keys() == original.keys() - idle
    assert all(torch.equal(tensor, original[name]) for name, tensor in back.items())


def test_hugging_faces_network_loads_what_is_written(tmp_path, transformers) -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=2).eval()
    path, x = tmp_path / "model.safetensors", torch.randn(1, 3, 64, 96)
    write_layout(path, model.state_dict(), MANIFEST, LAYOUTS["huggingface"])
    network = foreign.hugging_face(transformers, num_classes=2)
    written = safetensors.torch.load_file(path)
    assert {"segformer.encoder.block.0.0.attention.self.key.weight"} <= written.keys()
    theirs = network.state_dict()
    new_names = dict(zip(foreign.to_version_4(theirs), theirs, strict=True))
    network.load_state_dict({new_names[old]: tensor for old, tensor in written.items()})
    with torch.no_grad():
        torch.testing.assert_close(network(x).logits, model(x), rtol=1e-4, atol=1e-4)


def test_a_file_of_torch_holds_the_classes(tmp_path) -> None:
    path = tmp_path / "net.pth"
    write_layout(path, build_model("segformer_b0", num_classes=2).state_dict(), MANIFEST, LAYOUTS["hamlet"])
    file = read_weights(path)
    assert file.classes == ("road", "sky") and "decode_head.linear_pred.bias" in file.networks[""]


@pytest.mark.parametrize(
    ("model", "layout", "message"),
    [
        ("daformer_isa_b0", "nvlabs", "NVlabs SegFormer has no place for head.fuse."),
        ("segformer_mmseg_b0", "nvlabs", "has mmsegmentation's head"),
    ],
)
def test_what_has_no_place_is_refused_and_nothing_is_written(tmp_path, model, layout, message) -> None:
    path, manifest = tmp_path / "net.pth", dataclasses.replace(MANIFEST, model=model)
    with pytest.raises(CheckpointInvalid, match=message):
        write_layout(path, build_model(model, num_classes=2).state_dict(), manifest, LAYOUTS[layout])
    assert not path.exists()


def test_a_light_decoder_with_an_embedding_of_its_own_is_refused(transformers, tmp_path) -> None:
    theirs = foreign.to_hamlet(foreign.hugging_face(transformers).state_dict())
    state = convert(WeightFile(tmp_path, {"": theirs}, (), ())).state
    changed = state | {"light_decoder.embed.bias": torch.zeros(256)}
    with pytest.raises(CheckpointInvalid, match="is not the head's own"):
        exported(changed, LAYOUTS["hamlet"])
