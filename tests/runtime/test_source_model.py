"""Networks that are not in the zoo run, learn and are taken up again like those that are; or one line says why not."""

import os
import signal
import threading

import pytest
import torch

from models.checkpoint import Manifest, Source, save_checkpoint
from models.encoder import ModelUnsuitable
from models.trainable import frozen_digest
from models.zoo import build_model
from runtime.build import build
from runtime.config import ModelConfig
from runtime.events import AdaptationStep, Prediction
from runtime.option_words import ConfigError
from runtime.resume import load_run
from runtime.source_model import source_model
from streams.datasets.labels import CITYSCAPES
from tests.runtime.test_resume import play as play_session

NETWORK = """
import torch
from torch import nn

def make(num_classes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, num_classes, 1))
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Random weights of a named model that claim to come from the tiny world."""

    def write(name):
        path = tmp_path_factory.mktemp("weights") / "random.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = build_model(name, num_classes=len(CITYSCAPES.names)).state_dict()
        manifest = Manifest(name, len(CITYSCAPES.names), CITYSCAPES.names, Source("camvid", "train", (32, 64)))
        save_checkpoint(path, state, manifest)
        return str(path)

    return write


def play(config):
    parts = build(config)
    seen = []
    digest = frozen_digest(parts.model)
    parts.driver.run(seen.append, threading.Event())
    assert frozen_digest(parts.model) == digest
    return parts, seen


@pytest.mark.parametrize(
    ("name", "model", "adaptation"),
    [
        ("timm:test_vit", {"adapter": "lora", "adapter_stages": "3,4"}, {}),
        ("timm:test_convnext", {}, {}),
        ("timm:test_resnet+deeplabv3plus", {"trainable": "norm"}, {}),
        ("timm:test_convnext+upernet", {}, {"method": "dacs"}),
        ("timm:test_convnext", {}, {"method": "rotta"}),
        ("timm:test_convnext", {}, {"method": "hamlet"}),
        ("timm:test_vit", {}, {"method": "onda"}),
        ("timm:test_resnet+deeplabv2", {}, {"method": "roid"}),
    ],
)
def test_networks_of_timm_are_served_and_learn(tiny_world, checkpoint, name, model, adaptation) -> None:
    config = tiny_world.config(
        stream={"max_frames": 5},
        model={"model": name, "checkpoint": checkpoint(name), **model},
        adaptation={"policy": "bare", **adaptation},
        run={"pace": "lockstep"},
    )
    parts, seen = play(config)
    steps = [event for event in seen if isinstance(event, AdaptationStep)]
    answers = [event for event in seen if isinstance(event, Prediction)]
    assert len(answers) == 5 and all(answer.labels_HW.shape == (32, 64) for answer in answers)
    expected = "skipped" if adaptation == {"method": "hamlet"} else "applied"  # hamlet waits for 75 frames
    assert [step.outcome for step in steps] == [expected] * 5, [step.detail for step in steps]
    assert parts.weights.latest.number == (5 if expected == "applied" else 0)
    assert parts.manifest.model == name


@pytest.mark.parametrize(
    ("name", "model", "method"),
    [
        ("timm:test_vit", {"adapter": "lora", "adapter_stages": "3,4"}, "styled"),
        ("timm:test_convnext", {}, "styled"),
        ("timm:test_resnet+upernet", {"trainable": "norm"}, "roid"),
    ],
)
def test_a_run_cut_off_goes_on_bit_for_bit(tiny_world, checkpoint, tmp_path, name, model, method) -> None:
    def config(run_dir):
        return tiny_world.config(
            stream={"max_frames": 8},
            model={"model": name, "checkpoint": checkpoint(name), **model},
            adaptation={"policy": "bare", "method": method},
            run={"pace": "lockstep", "run_dir": run_dir},
        )

    whole = play_session(config(tmp_path / "whole"))
    before = play_session(
        config(tmp_path / "cut"), lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 3 else None
    )
    after = play_session(load_run(tmp_path / "cut"))
    assert (list(before), list(after)) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert before | after == whole and whole[7][0] >= 5


def test_a_size_that_is_stretched_is_said(tiny_world, checkpoint) -> None:
    config = tiny_world.config(
        stream={"size": "36x60"}, model={"model": "timm:test_vit", "checkpoint": checkpoint("timm:test_vit")}
    )
    parts = build(config)
    assert parts.notes == ("--size 36x60: timm:test_vit does not take that size; frames are stretched to 48x64",)


@pytest.fixture
def own_network(tmp_path, monkeypatch):
    (tmp_path / "own_network_of_a_user.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_network_of_a_user:make"


def test_a_network_of_the_users_own_brings_its_weights(tiny_world, own_network) -> None:
    config = tiny_world.config(
        stream={"max_frames": 5, "size": "32x64"},
        model={"model": own_network, "checkpoint": None, "trainable": "norm"},
        adaptation={"policy": "bare"},
        replay={"source": "camvid:train"},
        run={"pace": "lockstep"},
    )
    parts, seen = play(config)
    assert [event.outcome for event in seen if isinstance(event, AdaptationStep)] == ["applied"] * 5
    assert parts.manifest.model == own_network


def saved_segformer(folder, words):
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], decoder_hidden_size=16, num_attention_heads=[1, 1, 2, 2],
        id2label=dict(enumerate(words)),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        SegformerForSemanticSegmentation(config).save_pretrained(folder)
    return f"hf:{folder}"


def test_a_folder_of_hugging_face_answers_in_the_streams_classes_and_learns(tiny_world, tmp_path) -> None:
    """Its own are others, in another order."""
    name = saved_segformer(tmp_path, ["sky", "lamp", "sidewalk", "road"])
    config = tiny_world.config(
        stream={"max_frames": 5, "size": "32x64"},
        model={"model": name, "checkpoint": None, "trainable": "norm"},
        adaptation={"policy": "bare"},
        replay={"source": "camvid:train"},
        run={"pace": "lockstep"},
    )
    parts, seen = play(config)
    assert [event.outcome for event in seen if isinstance(event, AdaptationStep)] == ["applied"] * 5
    answered = {int(label) for event in seen if isinstance(event, Prediction) for label in event.labels_HW.flat}
    assert answered <= {CITYSCAPES.names.index(word) for word in ("sky", "sidewalk", "road")}
    assert "3 of the stream's 19 are answered" in parts.notes[0]


def refusal(kind, build_it):
    with pytest.raises(kind) as caught:
        build_it()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_adapters_for_it_are_refused(tiny_world, own_network) -> None:
    config = tiny_world.config(
        stream={"size": "32x64"}, model={"model": own_network, "checkpoint": None}, replay={"source": "camvid:train"}
    )
    assert "for adapters; use --trainable norm" in refusal(ModelUnsuitable, lambda: build(config))


def test_its_source_must_be_named(tiny_world, own_network) -> None:
    config = tiny_world.config(
        stream={"size": "32x64"}, model={"model": own_network, "checkpoint": None, "trainable": "norm"}
    )
    assert "does not say what it was trained on" in refusal(ConfigError, lambda: build(config))


@pytest.mark.parametrize("name", ["timm:convnext_tiny", "segformer_b1"])
def test_networks_that_no_checkpoint_is_shipped_of_need_one(name) -> None:
    message = refusal(ConfigError, lambda: source_model(ModelConfig(model=name)))
    assert message.startswith(f"--model {name}: comes without weights; give --checkpoint FILE")


def test_methods_that_need_another_head_or_encoder_say_so(tiny_world, checkpoint) -> None:
    model = {"model": "timm:test_vit", "checkpoint": checkpoint("timm:test_vit")}
    with pytest.raises(ValueError, match="needs SegFormer's head, and the model has a LinearHead"):
        build(tiny_world.config(model=model, adaptation={"method": "rotta"}))
    with pytest.raises(ModelUnsuitable, match="--with tie: the stages of timm:test_vit cannot be run one by one"):
        build(tiny_world.config(model=model, adaptation={"with_": "tie"}))
