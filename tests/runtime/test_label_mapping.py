"""A checkpoint of other classes answers in the stream's, by name, and a run with it scores, replays and learns so."""

import json

import pytest
import torch

from benchmarks.cli import VERBS
from models.checkpoint import Manifest, Source, load_checkpoint, save_checkpoint
from models.tensorfile import CheckpointInvalid
from models.zoo import build_model
from runtime.build import build
from runtime.cli import main as run_verb
from runtime.label_mapping import to_stream_classes
from streams.datasets.labels import CITYSCAPES

NAMES = ("sea", "Sky", "road", "tree")
ROAD, SKY, VEGETATION = (CITYSCAPES.names.index(name) for name in ("road", "sky", "vegetation"))


def write(path, tiny_world, *, recipe=None):
    """The tiny world's network with its classes in another order and under other names."""
    state, manifest = load_checkpoint(tiny_world.checkpoint)
    rows = [5, SKY, ROAD, VEGETATION]
    for leaf in ("weight", "bias"):
        state[f"head.classifier.{leaf}"] = state[f"head.classifier.{leaf}"][rows]
    manifest = Manifest("segformer_b0", 4, NAMES, manifest.source, recipe=recipe or {})
    save_checkpoint(path, state, manifest)
    return str(path)


def test_classes_are_brought_to_the_streams_by_name() -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=4).eval()
    weight = model.head.classifier.weight.detach().clone()
    manifest = Manifest("segformer_b0", 4, NAMES, Source("unknown", "", (64, 64)))
    mapping = to_stream_classes("mine", model, None, manifest)
    assert mapping.manifest.classes == CITYSCAPES.names and mapping.manifest.num_classes == model.num_classes == 19
    for new, old in ((SKY, 1), (ROAD, 2), (VEGETATION, 3)):
        assert torch.equal(model.head.classifier.weight[new], weight[old])
    assert set(mapping.unknown) == set(range(19)) - {SKY, ROAD, VEGETATION}
    (note,) = mapping.notes
    assert "3 of the stream's 19" in note and "sky" not in note and "wall" in note


def test_the_streams_own_classes_are_left_alone() -> None:
    model = build_model("segformer_b0", num_classes=19)
    manifest = Manifest("segformer_b0", 19, CITYSCAPES.names, Source("camvid", "train", (64, 64)))
    weight = model.head.classifier.weight
    mapping = to_stream_classes("mine", model, None, manifest)
    assert (mapping.manifest, mapping.unknown, mapping.notes) == (manifest, (), ())
    assert model.head.classifier.weight is weight


def test_a_run_answers_replays_and_says_what_it_cannot_answer(tiny_world, tmp_path) -> None:
    config = tiny_world.config(model={"checkpoint": write(tmp_path / "own.safetensors", tiny_world)})
    parts = build(config)
    assert parts.manifest.classes == CITYSCAPES.names
    assert len(parts.notes) == 1 and "never answered: " in parts.notes[0]
    labels = parts.replay.gather(torch.arange(len(parts.replay)))[1]
    assert set(labels.unique().tolist()) == {ROAD, SKY}


def test_labels_it_does_not_know_teach_nothing(tiny_world, tmp_path) -> None:
    path = tmp_path / "own.safetensors"
    state, manifest = load_checkpoint(write(path, tiny_world))
    other = Manifest("segformer_b0", 4, ("sea", "lake", "road", "tree"), manifest.source)
    save_checkpoint(path, state, other)
    parts = build(tiny_world.config(model={"checkpoint": str(path)}))
    labels = parts.replay.gather(torch.arange(len(parts.replay)))[1]
    assert set(labels.unique().tolist()) == {ROAD, 255}


def test_scores_by_name_are_in_the_summary_and_printed(tiny_world, tmp_path, capsys) -> None:
    checkpoint = write(tmp_path / "own.safetensors", tiny_world)
    more = ["--checkpoint", checkpoint, "--max-frames", "3", "--pace", "lockstep", "--run-dir", str(tmp_path / "run")]
    assert run_verb(tiny_world.arguments(*more, "--score-classes", "synthia16,synthia13", "--quiet"), VERBS) == 0
    quality = json.loads((tmp_path / "run" / "summary.json").read_text())["quality"]
    sixteen, thirteen = quality["subsets"]
    assert (sixteen["name"], sixteen["classes"], thirteen["classes"]) == ("synthia16", 16, 13)
    for one in (sixteen, thirteen):  # of both, road and sky are all that is labelled or can be answered but vegetation
        assert (one["miou"], one["miou_frozen"]) == pytest.approx((quality["miou"], quality["miou_frozen"]))
    assert "synthia13  mIoU" in capsys.readouterr().out


def test_a_subset_there_is_none_of_is_one_line(tiny_world, tmp_path, capsys) -> None:
    run = tiny_world.arguments("--score-classes", "synthia", "--run-dir", tmp_path / "run")
    assert run_verb(run, VERBS) == 2
    assert "--score-classes synthia: no such subset of classes; nearest: synthia" in capsys.readouterr().err


def test_what_was_drawn_at_random_does_not_run(tiny_world, tmp_path) -> None:
    checkpoint = write(tmp_path / "own.safetensors", tiny_world, recipe={"random": "head.classifier"})
    with pytest.raises(CheckpointInvalid, match=r"^--checkpoint .* drawn at random when it was converted"):
        build(tiny_world.config(model={"checkpoint": checkpoint}))
