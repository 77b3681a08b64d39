"""Anybody's module becomes a model, or is refused in one line."""

import itertools

import pytest
import torch
from torch import nn

from models.adapters import AdapterConfig, attach_adapters
from models.checkpoint import Manifest, Source, load_model, save_checkpoint
from models.encoder import ModelUnsuitable
from models.tensorfile import CheckpointInvalid
from models.trainable import replica, set_trainable
from models.whole_network import whole_network
from models.zoo import build_model

NETWORK = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.out = nn.Conv2d(8, num_classes, 1)

    def forward(self, x):
        return self.out(self.norm(self.stem(x)).relu())

def make(num_classes):
    torch.manual_seed(0)
    return Tiny(num_classes)

def wrong_classes(num_classes):
    return Tiny(num_classes + 1)

def wrong_type(num_classes):
    return "a network"

def broken(num_classes):
    return nn.Linear(7, num_classes)

value = 3
"""
NUMBERS = itertools.count()


@pytest.fixture
def module_name(tmp_path, monkeypatch) -> str:
    """A module of the user's, under a name that was never imported before."""
    name = f"mynets{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_the_models_logits_are_the_modules_own(module_name) -> None:
    model = build_model(f"{module_name}:make", num_classes=4).eval()
    x = torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        logits = model(x)
        assert torch.equal(logits, model.encoder.module(x)) and logits.shape == (2, 4, 16, 24)
        assert torch.equal(model.head.classify(model.head.embed(model.encoder(x))), logits)
    assert (model.num_classes, model.name) == (4, f"{module_name}:make")


@pytest.mark.parametrize(("mode", "expected"), [("norm", {"norm.weight", "norm.bias"}), ("full", None)])
def test_norms_or_all_of_it_can_learn(module_name, mode, expected) -> None:
    model = build_model(f"{module_name}:make", num_classes=4)
    report = set_trainable(model, mode)
    plain = {name.removeprefix("encoder.module.") for name in report.names}
    assert plain == (expected or {name for name, _ in model.encoder.module.named_parameters()})
    assert {"encoder.module.norm.running_mean", "encoder.module.norm.running_var"} < set(model.adaptable_names)
    twin = replica(model)
    assert all(a is not b for a, b in zip(model.parameters(), twin.parameters(), strict=True) if a.requires_grad)


@pytest.mark.parametrize("mode", ["head", "adapters"])
def test_it_has_no_head_and_no_place_for_adapters(module_name, mode) -> None:
    model = build_model(f"{module_name}:make", num_classes=4)
    with pytest.raises(ModelUnsuitable, match="use --trainable norm") as caught:
        set_trainable(model, mode) if mode == "head" else attach_adapters(model, AdapterConfig())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wrong_classes", r"gave a tensor \(1, 5, 32, 64\) for one image, expected logits \(1, 4, h, w\)"),
        ("wrong_type", "returned str, expected a torch.nn.Module"),
        ("broken", "fails on a 1x3x64x128 image"),
        ("value", "has no function 'value'"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_what_is_no_such_network_is_refused_in_one_line(module_name, function, message) -> None:
    with pytest.raises(ModelUnsuitable, match=message) as caught:
        build_model(f"{module_name}:{function}", num_classes=4)
    assert "\n" not in str(caught.value)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelUnsuitable, match="no_such_module_anywhere cannot be imported"):
        build_model("no_such_module_anywhere:make", num_classes=4)


def test_a_module_that_gives_no_tensor_is_refused() -> None:
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ModelUnsuitable, match="gave tuple for one image"):
        whole_network("pair", Pair(), num_classes=3)


def test_the_probe_leaves_training_mode_as_it_was() -> None:
    module = nn.Conv2d(3, 2, 1)
    assert whole_network("one", module.train(), num_classes=2).encoder.module.training
    assert not whole_network("one", module.eval(), num_classes=2).encoder.module.training


def test_a_file_does_not_choose_what_code_is_run(tmp_path, module_name) -> None:
    name, path = f"{module_name}:make", tmp_path / "mine.safetensors"
    model = build_model(name, num_classes=4)
    with torch.no_grad():
        model.encoder.module.out.bias.fill_(3.0)
    save_checkpoint(path, model.state_dict(), Manifest(name, 4, tuple("abcd"), Source("camvid", "train", (32, 64))))
    with pytest.raises(CheckpointInvalid, match="a file may not choose what code is run; name it with --model"):
        load_model(path)
    loaded, _ = load_model(path, model=name)
    assert torch.equal(loaded.encoder.module.out.bias, torch.full((4,), 3.0))
