"""What of published training `pretrain` can be asked for: pipelines, loss, step size, precision, encoders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.checkpoint import load_checkpoint, load_model, load_source
from models.conversion import convert
from models.tensorfile import CheckpointInvalid
from models.weightfile import read_weights
from models.zoo import build_model
from replay.pool import FilePool
from runtime.option_words import ConfigError
from runtime.pretraining.config import PretrainConfig
from runtime.pretraining.objective import Objective
from runtime.pretraining.schedule import learning_rate_factor
from runtime.pretraining.trainer import Recipe, Trainer
from runtime.pretraining.validation import mean_iou
from tests.models.foreign import hugging_face, library
from tests.runtime.trainings import run_quietly, street_scenes, tiny

CPU = torch.device("cpu")
PUBLISHED: dict[str, Any] = {"pipeline": "mmsegmentation", "resize": "32x64", "crop": "32x48", "steps": 4}


@pytest.fixture(scope="module")
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return street_scenes(tmp_path_factory.mktemp("camvid"))


def test_the_published_pipeline_trains_goes_on_and_says_what_it_did(camvid: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    run_quietly(tiny(camvid, whole, **PUBLISHED, validation="train"))
    first, _ = run_quietly(tiny(camvid, parts, **PUBLISHED, validation="train"), after_step=2)
    assert 0 < first.num_steps_done < 4
    run_quietly(tiny(camvid, parts, **PUBLISHED, validation="train"))
    expected, actual = load_checkpoint(whole)[1], load_checkpoint(parts)[1]
    assert actual.sha256 == expected.sha256 and actual.metrics["miou"] == expected.metrics["miou"]
    said = {name: expected.recipe[name] for name in ("pipeline", "scale_low", "scale_high", "photometric")}
    assert said == {"pipeline": "mmsegmentation", "scale_low": 0.5, "scale_high": 2.0, "photometric": 1.0}
    assert (expected.recipe["loss_norm"], expected.recipe["schedule"]) == ("all", "poly")
    assert expected.recipe["resize"] == [32, 64]


def test_hamlets_light_decoder_is_fitted_to_files_too(camvid: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    run_quietly(tiny(camvid, out, model="hamlet_b0", pipeline="daformer", steps=1))
    assert load_source(out)[1] is not None


def test_filling_is_the_mean_colour_whatever_it_holds() -> None:
    seen: list[torch.Tensor] = []
    torch.manual_seed(0)
    model = build_model("segformer_b0", num_classes=3)
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trainer = Trainer(model, recipe=Recipe(2, 1e-3), device=CPU, precision=torch.float32)
    images = torch.full((2, 32, 32, 3), 200, dtype=torch.uint8)
    trainer.step(images, torch.zeros(2, 32, 32, dtype=torch.uint8), torch.tensor([[20, 32], [32, 7]]))
    (x_B3HW,) = seen
    assert (x_B3HW[0, :, 20:] == 0).all() and (x_B3HW[1, :, :, 7:] == 0).all()
    torch.testing.assert_close(x_B3HW[0, 0, :20], torch.full((20, 32), (200 - 123.675) / 58.395))
    torch.testing.assert_close(x_B3HW[1, 2, :, :7], torch.full((32, 7), (200 - 103.53) / 57.375))


def test_the_objective_is_read_at_the_size_of_labels_or_of_logits() -> None:
    """One row of two logits per class, labels four times as large: bilinear between 0 and 1 is 0, 1/4, 3/4, 1."""
    logits = torch.tensor([[[[0.0, 1.0]]], [[[0.0, 0.0]]]]).permute(1, 0, 2, 3)
    labels = torch.tensor([[[0, 0, 1, 255]]], dtype=torch.uint8)
    p0 = [torch.sigmoid(torch.tensor(z)) for z in (0.0, 0.25, 0.75)]
    total = -(p0[0].log() + p0[1].log() + (1 - p0[2]).log())
    assert float(Objective("all", True)(logits, labels)) == pytest.approx(float(total / 4))
    assert float(Objective("valid", True)(logits, labels)) == pytest.approx(float(total / 3))
    at_stride = -p0[0].log()  # the label under the second centre is ignored
    assert float(Objective("valid", False)(logits, labels)) == pytest.approx(float(at_stride))
    weighted = Objective("weight", False, (3.0, 1.0))(logits, torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8))
    p1 = 1 - torch.sigmoid(torch.tensor(1.0))
    assert float(weighted) == pytest.approx(float((-3 * p0[0].log() - p1.log()) / 4))


def test_poly_falls_evenly_after_fifteen_hundred_steps_of_warm_up() -> None:
    """DAFormer's 40,000 steps: (1 - t / T) times, at first, 1 - (1 - t / 1500) (1 - 1e-6)."""

    def factor(step: int) -> float:
        return learning_rate_factor(step, num_steps=40_000, curve="poly")

    assert factor(0) == pytest.approx(1e-6)
    assert factor(750) == pytest.approx((1 - 750 / 40_000) * (1 - 0.5 * (1 - 1e-6)))
    assert factor(1500) == pytest.approx(1 - 1500 / 40_000)
    assert factor(20_000) == pytest.approx(0.5) and factor(39_999) == pytest.approx(1 / 40_000)


class Painter(nn.Module):
    """Class 1 where the image is bright, class 0 elsewhere, at stride 4; it remembers the sizes it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x_B3HW: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(x_B3HW.shape[2:]))
        bright = x_B3HW[:, :1, ::4, ::4]
        return torch.cat([-bright, bright], dim=1)


def test_published_scores_shrink_images_and_not_labels() -> None:
    samples = []
    for height, width in ((40, 80), (60, 30)):
        label = np.zeros((height, width), np.uint8)
        label[:, width // 2 :] = 1
        samples.append((np.repeat(label[..., None] * 255, 3, axis=2), label))
    samples[1][1][0] = 255
    painter = Painter()
    miou = mean_iou(painter, FilePool(samples, num_classes=2), device=CPU, precision=torch.float32, scale_HW=(20, 40))
    assert painter.sizes == [(20, 40), (40, 20)]
    assert miou > 85.0  # but for the blurred border
    flat = [
        (np.zeros((8, 8, 3), np.uint8), np.repeat(np.array([[0], [1]], np.uint8), (2, 6), axis=0).repeat(8, axis=1))
    ]
    # 16 pixels of class 0 and 48 of class 1, all answered 0: IoU 16 / 64 and 0.
    score = mean_iou(Painter(), FilePool(flat, num_classes=2), device=CPU, precision=torch.float32, scale_HW=(4, 4))
    assert score == pytest.approx(100 * (0.25 + 0.0) / 2)


@pytest.mark.parametrize("model", ["segformer_b0", "daformer_b0"])
def test_any_head_begins_with_an_encoder_of_other_programs(
    model: str, camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = hugging_face(library(monkeypatch))
    file, out = tmp_path / "pytorch_model.bin", tmp_path / "net.safetensors"
    torch.save({name: t for name, t in theirs.state_dict().items() if name.startswith("segformer.")}, file)
    config = tiny(camvid, out, model=model, encoder_weights=file, steps=1, learning_rate=1e-9)
    run_quietly(config)
    network, manifest = load_model(out)
    expected = convert(read_weights(file), allow_encoder=True).state["encoder.stages.3.blocks.1.attn.q.weight"]
    torch.testing.assert_close(network.encoder.stages[3].blocks[1].attn.q.weight, expected, atol=1e-6, rtol=0)
    assert manifest.recipe["encoder_weights"] == "pytorch_model.bin"


def test_an_encoder_that_does_not_fit_is_refused(camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "b0.pth"
    torch.save(hugging_face(library(monkeypatch)).state_dict(), file)
    config = tiny(camvid, tmp_path / "net.safetensors", model="segformer_b1", encoder_weights=file)
    with pytest.raises(CheckpointInvalid, match=r"b0\.pth: holds the encoder of segformer_b0.*not fit segformer_b1"):
        run_quietly(config)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


def test_a_pickle_with_code_is_not_opened(camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mit_b0.pth"
    torch.save({"patch_embed1.proj.weight": torch.zeros(1), "x": Hostile()}, file)
    with pytest.raises(CheckpointInvalid, match="which may be any code, so it was not opened"):
        run_quietly(tiny(camvid, tmp_path / "net.safetensors", encoder_weights=file))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resize": "512x2048"}, "--resize 512x2048: expected a published --pipeline"),
        ({"pipeline": "daformer", "resize": "512"}, "--resize 512: expected HxW"),
        ({"crop": "5x5"}, "--crop 5x5: expected HxW"),
        ({"loss_norm": "weight"}, "--loss-norm weight: expected --class-weights"),
        ({"class_weights": "1,2"}, "--class-weights 1,2: expected 19 numbers"),
        ({"class_weights": ",".join(["nan"] * 19)}, "--class-weights nan"),
        ({"max_class_share": 0.0}, "--max-class-share 0.0"),
        ({"scale_low": 3.0, "pipeline": "mmsegmentation"}, "--scale-low 3.0"),
        ({"rare_class_min_pixels": 0}, "--rare-class-min-pixels 0"),
        ({"rare_class_crop_share": -1.0}, "--rare-class-crop-share -1.0"),
        ({"model": "hf:folder", "encoder_weights": Path("a.pth")}, "--encoder-weights a.pth: expected a MiT or timm:"),
    ],
)
def test_impossible_settings_name_the_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PretrainConfig(**({"out": Path("net.safetensors")} | changes))


def test_settings_follow_the_pipeline_unless_given() -> None:
    def settings_of(**changes: Any) -> tuple[Any, ...]:
        config = PretrainConfig(out=Path("net.safetensors"), **changes)
        return config.scale_range, config.distortion, config.divisor, config.curve

    assert settings_of() == ((0.75, 1.75), 0.5, "valid", "cosine")
    assert settings_of(pipeline="mmsegmentation") == ((0.5, 2.0), 1.0, "all", "poly")
    assert settings_of(pipeline="daformer") == ((1.0, 1.0), 0.0, "all", "poly")
    given = settings_of(pipeline="daformer", scale_high=1.5, photometric=0.2, loss_norm="valid", schedule="cosine")
    assert given == ((1.0, 1.5), 0.2, "valid", "cosine")
