import dataclasses
import io
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from models.checkpoint import Manifest, Source, load_checkpoint, load_model, load_source, save_checkpoint
from models.losses import cross_entropy, shrink_labels
from models.preprocess import normalise, to_tensor
from models.tensorfile import CheckpointInvalid
from models.zoo import build_model
from replay.pool import SamplePool
from runtime.option_words import ConfigError
from runtime.pretraining.config import PretrainConfig
from runtime.pretraining.loop import Collaborators, Rhythm, TrainingDiverged, train
from runtime.pretraining.progress import PlainProgress, clock_time, open_progress
from runtime.pretraining.render import block_seed, rendered_samples
from runtime.pretraining.schedule import averaging_decay, learning_rate_factor
from runtime.pretraining.trainer import Recipe, Trainer
from runtime.pretraining.validation import mean_iou
from streams.datasets.labels import CITYSCAPES
from streams.stream import StreamNotOpened, StreamOptions, UnknownStream, open_stream
from tests.runtime.trainings import run_quietly, street_scenes, tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return street_scenes(tmp_path_factory.mktemp("camvid"))


def test_training_learns_and_writes_a_checkpoint_that_says_what_it_is(camvid: Path, tmp_path: Path) -> None:
    first, _ = run_quietly(tiny(camvid, tmp_path / "short.safetensors", steps=1, validation="train"))
    out = tmp_path / "net.safetensors"
    result, output = run_quietly(tiny(camvid, out, steps=30, validation="train"))
    assert result.is_complete and result.num_steps_done == 30
    assert result.loss < 0.6 * first.loss
    assert result.miou is not None and first.miou is not None and result.miou > first.miou
    assert "step 30/30" in output and f"wrote {out}" in output
    model, manifest = load_model(out)
    assert (manifest.model, manifest.num_classes) == ("segformer_b0", 19)
    assert (manifest.source.dataset, manifest.source.split, manifest.source.size_HW) == ("camvid", "train", (32, 64))
    assert manifest.recipe["steps"] == 30 and manifest.recipe["crop"] == [32, 32]
    assert manifest.metrics["miou"] == pytest.approx(result.miou)
    assert not model.training
    assert sorted(path.name for path in tmp_path.glob("net*")) == ["net.json", "net.safetensors"]


def test_training_begins_from_a_checkpoint(camvid: Path, tmp_path: Path) -> None:
    first, out = tmp_path / "first.safetensors", tmp_path / "net.safetensors"
    state = build_model("segformer_b0", num_classes=19).state_dict()
    state["head.classifier.bias"].fill_(7.0)
    manifest = Manifest("segformer_b0", 19, CITYSCAPES.names, Source("unknown", "", (32, 64)), {"random": "head"})
    save_checkpoint(first, state, manifest)
    run_quietly(tiny(camvid, out, steps=1, checkpoint=str(first)))
    assert load_model(out)[0].head.classifier.bias.mean() > 6.5
    recipe = load_checkpoint(out)[1].recipe
    assert recipe["begun_from"] == load_checkpoint(first)[1].sha256 and "random" not in recipe
    save_checkpoint(first, state, dataclasses.replace(manifest, classes=tuple("abcdefghijklmnopqrs")))
    with pytest.raises(CheckpointInvalid, match=r"^--checkpoint .*convert it with --classes cityscapes"):
        run_quietly(tiny(camvid, tmp_path / "other.safetensors", checkpoint=str(first)))


def test_hamlets_model_gets_its_light_decoder(camvid: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    run_quietly(tiny(camvid, out, steps=1, model="hamlet_b0"))
    model, decoder, manifest = load_source(out)
    assert decoder is not None and manifest.model == "hamlet_b0"
    frames = list(open_stream("dataset:camvid:train", StreamOptions(size_HW=(32, 64), data=camvid)))
    images = torch.stack([to_tensor(frame.image_HWC) for frame in frames])
    labels = shrink_labels(torch.stack([torch.from_numpy(frame.label_HW) for frame in frames]), (8, 16))
    with torch.no_grad():
        loss = cross_entropy(decoder(model.encoder.run_stages(normalise(images), stop=1)[0]), labels)
    shares = labels[labels != 255].bincount() / (labels != 255).sum()
    blind = -(shares * shares.clamp(min=1e-9).log()).sum()
    assert loss < 0.5 * blind, "it tells more than the shares of classes, the best answer there is without looking"


@pytest.mark.parametrize(("model", "workers"), [("segformer_b0", 0), ("segformer_b0", 1), ("hrda:segformer_b0", 0)])
def test_an_interrupted_training_goes_on_to_the_weights_of_an_uninterrupted_one(
    camvid: Path, tmp_path: Path, model: str, workers: int
) -> None:
    """Where HRDA draws its details, too, follows from the state, and so do crops another process has prefetched."""
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    run_quietly(tiny(camvid, whole, model=model, workers=workers))
    first, output = run_quietly(tiny(camvid, parts, model=model, workers=workers), after_step=2)
    assert not first.is_complete and 0 < first.num_steps_done < 6
    assert "the same command goes on" in output and not parts.exists()
    second, output = run_quietly(tiny(camvid, parts, model=model, workers=workers))
    assert second.is_complete and f"going on from step {first.num_steps_done} of 6" in output
    expected, actual = load_checkpoint(whole), load_checkpoint(parts)
    assert actual[1].sha256 == expected[1].sha256
    assert all(torch.equal(tensor, actual[0][name]) for name, tensor in expected[0].items())


def test_a_checkpoint_that_could_not_be_written_is_not_lost(camvid: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    config = tiny(camvid, out)
    with pytest.raises(ConfigError, match=r"--out .*cannot be written.*same command again"):
        run_quietly(config, after_step=2, happens=out.mkdir)
    out.rmdir()
    result, output = run_quietly(config)
    assert result.is_complete and "going on from step 6 of 6" in output
    assert load_checkpoint(out)[1].recipe["steps"] == 6


def test_a_state_of_other_settings_or_a_damaged_one_is_refused(camvid: Path, tmp_path: Path) -> None:
    config = tiny(camvid, tmp_path / "net.safetensors")
    run_quietly(config, after_step=2)
    with pytest.raises(ConfigError, match=r"--learning-rate 0.001: .*trained with 0.002.*delete that file"):
        run_quietly(tiny(camvid, config.out, learning_rate=1e-3))
    config.partial.write_bytes(config.partial.read_bytes()[:1000])
    with pytest.raises(CheckpointInvalid, match="not a complete safetensors file"):
        run_quietly(config)


@pytest.mark.parametrize("model", ["hrda:segformer_b0", "hrda:timm:test_convnext", "timm:test_vit+knet"])
def test_models_with_several_answers_learn_from_all_of_them(camvid: Path, tmp_path: Path, model: str) -> None:
    first, _ = run_quietly(tiny(camvid, tmp_path / "short.safetensors", model=model, steps=1))
    result, _ = run_quietly(tiny(camvid, tmp_path / "net.safetensors", model=model, steps=15, validation="train"))
    assert result.loss < 0.7 * first.loss and result.miou is not None
    assert load_model(tmp_path / "net.safetensors")[0].name == model


def test_what_cannot_be_trained_is_said_before_anything_is_written(camvid: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    with pytest.raises(ConfigError, match="--dataset camvit: no such data set; nearest: camvid"):
        run_quietly(tiny(camvid, out, dataset="camvit"))
    with pytest.raises(ConfigError, match="nearest: synthetic"):
        run_quietly(tiny(camvid, out, dataset="synthetik"))
    with pytest.raises(UnknownStream, match="no split 'tran'"):
        run_quietly(tiny(camvid, out, dataset="camvid:tran"))
    with pytest.raises(StreamNotOpened, match="no such folder"):
        run_quietly(tiny(camvid, out, data=tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"--model segformer_b9.*segformer_b"):
        run_quietly(tiny(camvid, out, model="segformer_b9"))
    with pytest.raises(ConfigError, match="--data"):
        run_quietly(tiny(camvid, out, dataset="synthetic"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": Path("missing_folder/net.safetensors")}, "--out .*existing folder"),
        ({"out": Path("net.pt")}, "--out .*ending in .safetensors"),
        ({"steps": 0}, "--steps 0"),
        ({"batch": 1}, "--batch 1.*batch norm"),
        ({"scale_low": 2.0}, "--scale-low 2.0"),
        ({"photometric": 1.5}, "--photometric 1.5"),
        ({"rare_class_temperature": 0.0}, "--rare-class-temperature 0.0"),
    ],
)
def test_impossible_settings_name_the_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PretrainConfig(**({"out": Path("net.safetensors")} | changes))


def test_a_checkpoint_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    out.touch()
    with pytest.raises(ConfigError, match="does not exist yet"):
        PretrainConfig(out=out)


def test_sizes_follow_the_data_set_unless_given() -> None:
    out = Path("net.safetensors")
    assert PretrainConfig(out=out).size_HW == (256, 512)
    assert PretrainConfig(out=out, dataset="camvid:train").size_HW == (180, 240)
    assert PretrainConfig(out=out, dataset="camvid", size="360x480").size_HW == (360, 480)


def test_the_step_size_rises_linearly_then_falls_along_a_cosine() -> None:
    factors = [learning_rate_factor(step, num_steps=200) for step in range(200)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1.0
    assert factors[105] == pytest.approx(0.5)
    assert factors[199] == pytest.approx(0.5 * (1 + math.cos(math.pi * 189 / 190)))
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[10:]))


def test_averaging_starts_as_a_plain_mean() -> None:
    assert [averaging_decay(t, decay=0.9) for t in (1, 2, 4, 100)] == pytest.approx([0.5, 2 / 3, 0.8, 0.9])


def test_averaged_weights_are_the_moving_mean_of_those_visited() -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=3)
    trainer = Trainer(model, recipe=Recipe(4, 1e-3, ema_decay=0.6), device=CPU, precision=torch.float32)
    weight = model.head.classifier.weight
    expected = weight.detach().clone()
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    for decay in (0.5, 0.6, 0.6):
        before = weight.detach().clone()
        trainer.step(torch.zeros(2, 32, 32, 3, dtype=torch.uint8), labels)
        assert not torch.equal(before, weight)
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(trainer.averaged.head.classifier.weight, expected)
    assert not trainer.averaged.training and not any(p.requires_grad for p in trainer.averaged.parameters())


def test_a_step_in_bfloat16_moves_weights_that_stay_in_float32() -> None:
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=3)
    trainer = Trainer(model, recipe=Recipe(4, 1e-3), device=CPU, precision=torch.bfloat16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen: list[torch.dtype] = []
    first, last = model.encoder.stages[0].patch_embed.proj, model.head.classifier
    first.register_forward_hook(lambda _, __, map_BCHW: seen.append(map_BCHW.dtype))
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    assert math.isfinite(float(trainer.step(images, torch.ones(2, 32, 32, dtype=torch.uint8))))
    assert seen == [torch.bfloat16]
    for network in (model, trainer.averaged):
        floats = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        assert all(tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all()) for tensor in floats)
    assert not torch.equal(first.weight, before["encoder.stages.0.patch_embed.proj.weight"])
    assert not torch.equal(last.weight, before["head.classifier.weight"])


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    model = build_model("segformer_b0", num_classes=3)
    trainer = Trainer(model, recipe=Recipe(2, 1e-3), device=CPU, precision=torch.float32)
    with torch.no_grad():
        model.head.classifier.bias.fill_(math.nan)
    batch = (torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.zeros(2, 32, 32, dtype=torch.uint8))
    lines = PlainProgress(2, first_step=0, write=lambda _: None, clock=lambda: 0.0)
    others = Collaborators(None, lambda: None, lambda: False, lines, lambda: 0.0)
    with pytest.raises(TrainingDiverged, match="--learning-rate: the loss is nan at step 2"):
        train(trainer, [batch, batch], rhythm=Rhythm(2, 10, 60.0), others=others)


class Painter(nn.Module):
    """Predicts class 1 where the image is bright and class 0 elsewhere, at stride 4."""

    def forward(self, x_B3HW: torch.Tensor) -> torch.Tensor:
        bright = x_B3HW[:, :1, ::4, ::4]
        return torch.cat([-bright, bright, torch.full_like(bright, -99.0)], dim=1)


def test_mean_iou_counts_labelled_pixels_and_present_classes() -> None:
    image, label = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    image[:, 4:] = 255
    label[:, 4:] = 1
    label[:4, 4:] = 0
    label[0] = 255
    pool = SamplePool.collect([(image, label)], num_samples=1, num_classes=3)
    # Class 0: 28 hits of 40 labelled; class 1: 16 hits of 28 predicted; class 2 is nowhere and left out.
    expected = 100 * (28 / 40 + 16 / 28) / 2
    assert mean_iou(Painter(), pool, device=CPU, precision=torch.float32) == pytest.approx(expected)


def test_rendered_samples_depend_on_seed_and_number_alone() -> None:
    first = list(rendered_samples(2, seed=3, size_HW=(32, 64), processes=1))
    again = list(rendered_samples(2, seed=3, size_HW=(32, 64), processes=1))
    other = list(rendered_samples(2, seed=4, size_HW=(32, 64), processes=1))
    assert [image.shape for image, _ in first] == [(32, 64, 3)] * 2
    assert all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], other[0][0])
    assert len({block_seed(seed, index) for seed in range(20) for index in range(20)}) == 400


def test_plain_progress_tells_rate_and_time_left_now_and_then() -> None:
    now_s, lines = 0.0, []
    progress = PlainProgress(100, first_step=10, write=lines.append, clock=lambda: now_s)
    progress.advance(11, loss=1.0, learning_rate=1e-3)
    now_s = 20.0
    progress.advance(20, loss=0.5, learning_rate=1e-3)
    progress.note("half way")
    assert lines == ["step 20/100  loss 0.500  lr 1.0e-03  2000 ms/step  left 0:02:40", "half way"]
    assert clock_time(3725.4) == "1:02:05"


def test_a_terminal_gets_a_bar() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with open_progress(10, first_step=0, console=console) as progress:
        progress.advance(5, loss=0.25, learning_rate=1e-3)
        progress.note("step 5: 40.0 mIoU")
    assert "5/10" in output.getvalue() and "loss 0.250" in output.getvalue() and "40.0 mIoU" in output.getvalue()
