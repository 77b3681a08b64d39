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
HRDA, KNET = "hrda:segformer_b0", "knet_b0"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory):
    folder, paths = tmp_path_factory.mktemp("heads"), {}
    for name in (DAFORMER, MMSEG, HRDA, KNET):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = build_model(name, num_classes=19).state_dict()
        path = folder / f"{name.replace(':', '_')}.safetensors"
        paths[name] = str(path)
        save_checkpoint(path, state, _manifest(name))
    return paths


def _manifest(name):
    return Manifest(name, 19, CITYSCAPES.names, Source("camvid", "train", (32, 64)))


@pytest.mark.parametrize(
    ("name", "method"),
    [(DAFORMER, "styled"), (DAFORMER, "dacs"), (DAFORMER, "onda"), (MMSEG, "styled"), (MMSEG, "rotta")]
    + [(name, method) for name in (HRDA, KNET) for method in ("styled", "dacs", "onda")],
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


@pytest.mark.parametrize("component", ["things", "tie", "core", "mic"])
def test_terms_on_features_and_embeddings_go_with_several_views(tiny_world, checkpoints, component) -> None:
    """HRDA's encoder gives ten maps per image, the whole image's first."""
    config = tiny_world.config(
        stream={"max_frames": 3},
        model={"checkpoint": checkpoints[HRDA]},
        adaptation={"method": "styled", "policy": "bare", "with_": component},
        run={"pace": "lockstep"},
    )
    parts, seen = build(config), []
    parts.driver.run(seen.append, threading.Event())
    outcomes = {event.outcome for event in seen if isinstance(event, AdaptationStep)}
    assert "applied" in outcomes and "error" not in outcomes


@pytest.mark.parametrize("name", [DAFORMER, HRDA])
@pytest.mark.parametrize(("method", "needed_by"), [("rotta", "robust batch norm"), ("hamlet", "the light decoder")])
def test_methods_that_need_segformers_head_say_so(
    tiny_world, checkpoints, tmp_path, capsys, name, method, needed_by
) -> None:
    words = ("--checkpoint", checkpoints[name], "--method", method, "--run-dir", tmp_path / "run", "--quiet")
    assert run_verb(tiny_world.arguments(*words), VERBS) == 4
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and f"{needed_by} needs SegFormer's head" in shown
