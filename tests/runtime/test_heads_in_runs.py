"""Models with other heads run, learn and resume as SegFormer's; methods that need its head say so in one line."""

import threading

import pytest
import torch

from benchmarks.cli import VERBS
from models.checkpoint import Manifest, Source, save_checkpoint
from models.zoo import build_model
from runtime.build import build
from runtime.cli import main as run_verb
from runtime.events import AdaptationStep, Prediction
from streams.datasets.labels import CITYSCAPES

DAFORMER, MMSEG = "daformer_isa_b0", "segformer_mmseg_b0"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory):
    folder, paths = tmp_path_factory.mktemp("heads"), {}
    for name in (DAFORMER, MMSEG):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = build_model(name, num_classes=19).state_dict()
        paths[name] = str(folder / f"{name}.safetensors")
        save_checkpoint(folder / f"{name}.safetensors", state, _manifest(name))
    return paths


def _manifest(name):
    return Manifest(name, 19, CITYSCAPES.names, Source("camvid", "train", (32, 64)))


@pytest.mark.parametrize(
    ("name", "method"),
    [(DAFORMER, "styled"), (DAFORMER, "dacs"), (DAFORMER, "onda"), (MMSEG, "styled"), (MMSEG, "rotta")],
)
def test_they_learn(tiny_world, checkpoints, name, method) -> None:
    config = tiny_world.config(
        stream={"max_frames": 3},
        model={"checkpoint": checkpoints[name]},
        adaptation={"method": method, "policy": "bare"},
        run={"pace": "lockstep"},
    )
    parts, seen = build(config), []
    assert parts.model.name == name
    parts.driver.run(seen.append, threading.Event())
    assert len([event for event in seen if isinstance(event, Prediction)]) == 3
    outcomes = {event.outcome for event in seen if isinstance(event, AdaptationStep)}
    assert "applied" in outcomes and "error" not in outcomes


@pytest.mark.parametrize(("method", "needed_by"), [("rotta", "robust batch norm"), ("hamlet", "the light decoder")])
def test_methods_that_need_segformers_head_say_so(tiny_world, checkpoints, tmp_path, capsys, method, needed_by) -> None:
    words = ("--checkpoint", checkpoints[DAFORMER], "--method", method, "--run-dir", tmp_path / "run", "--quiet")
    assert run_verb(tiny_world.arguments(*words), VERBS) == 4
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and f"{needed_by} needs SegFormer's head" in shown
