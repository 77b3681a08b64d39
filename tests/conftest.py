"""A tiny world to run the whole thing in: a barely trained network, pictures of 32x64 with labels, all on disk."""

# H height, W width, C channels

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn

from models.checkpoint import Manifest, Source, save_checkpoint
from models.preprocess import normalise
from models.torchvision_operators import declare_missing_operators
from models.zoo import build_model
from runtime.config import RuntimeConfig
from streams.datasets.labels import CITYSCAPES
from tests.streams.recorded import write_image, write_label

# How long an example takes says how busy the machine is; timing belongs in benchmarks/.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# timm and transformers, which networks are compared with, import torchvision, whatever it was built for.
declare_missing_operators()

SIZE_HW = (32, 64)
TRAINING_STEPS = 30  # two seconds
SPLITS = {"train": (20, 1.0), "test_day": (6, 1.0), "test_dusk": (12, 0.25)}  # frames, brightness
CALM_RATE = 3e-4  # of learning: the default method's own drives a model this small into its guard


@dataclass(frozen=True, slots=True)
class TinyWorld:
    """A checkpoint trained for a moment, and a CamVid folder: splits train and test_day look alike, test_dusk is dark.

    test_blind holds the pictures of test_dusk without labels.
    """

    checkpoint: Path
    data: Path

    def config(self, **sections: Mapping[str, Any]) -> RuntimeConfig:
        """A quick run on the dark split; `sections` replace options, as in `run={"pace": "live"}`."""
        config = RuntimeConfig()
        options: dict[str, dict[str, Any]] = {
            "stream": {"stream": "dataset:camvid:test_dusk", "data": self.data},
            "model": {"checkpoint": str(self.checkpoint)},
            "adaptation": {"serve_below": 1.0, "learning_rate": CALM_RATE},
            "replay": {"replay_mb": 1.0},
            "run": {"pace": "max", "quiet": True},
            "web": {"web": False},
        }
        for section in {**options, **sections}:
            given = dict(sections.get(section, {}))
            if "method" in given:  # has a rate of its own
                options["adaptation"].pop("learning_rate")
            wanted = options.get(section, {}) | given
            config = replace(config, **{section: replace(getattr(config, section), **wanted)})
        return config

    def arguments(self, *more: object) -> list[str]:
        """The same run as a command line; `more` may give an option again, the last one counts."""
        words = ["--stream", "dataset:camvid:test_dusk", "--data", self.data, "--checkpoint", self.checkpoint]
        words += ["--replay-mb", 1, "--serve-below", 1, "--pace", "max", "--no-web"]
        if "--method" not in more:
            words += ["--learning-rate", CALM_RATE]
        return [str(word) for word in [*words, *more]]


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    folder = tmp_path_factory.mktemp("world")
    data = folder / "camvid"
    for number, (split, (num, brightness)) in enumerate(SPLITS.items()):
        rng = np.random.default_rng(number)
        rows = []
        for index in range(num):
            image_HWC, label_HW = _picture(rng, brightness)
            write_image(data / split / f"{index:02}.png", image_HWC)
            write_label(data / f"{split}annot" / f"{index:02}.png", label_HW)
            rows.append(f"{split}/{index:02}.png {split}annot/{index:02}.png")
        (data / f"{split}.txt").write_text("\n".join(rows) + "\n")
    dusk = (data / "test_dusk.txt").read_text().splitlines()
    (data / "test_blind.txt").write_text("".join(f"{row.split()[0]}\n" for row in dusk))
    return TinyWorld(write_trained_checkpoint(folder / "tiny.safetensors"), data)


def write_random_checkpoint(
    path: Path, *, classes: tuple[str, ...] = CITYSCAPES.names, without: str | None = None
) -> Path:
    """SegFormer-B0 with random weights (seed 0) that claims to come from the tiny world; `without` a key, if named."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build_model("segformer_b0", num_classes=len(classes)).state_dict()
    if without is not None:
        del state[without]
    manifest = Manifest("segformer_b0", len(classes), classes, Source("camvid", "train", SIZE_HW))
    save_checkpoint(path, state, manifest, storage=torch.float16)
    return path


def write_trained_checkpoint(path: Path) -> Path:
    """The random one after a few steps on pictures like those of `train`: it tells their two fields apart."""
    rng = np.random.default_rng(99)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model("segformer_b0", num_classes=len(CITYSCAPES.names)).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        for _ in range(TRAINING_STEPS):
            pairs = [_picture(rng, 1.0) for _ in range(4)]
            logits_BKHW = model(normalise(torch.from_numpy(np.stack([image_HWC for image_HWC, _ in pairs]))))
            labels_BHW = torch.from_numpy(np.stack([label_HW[::4, ::4] for _, label_HW in pairs])).long()
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(logits_BKHW, labels_BHW))
            optimizer.step()
    manifest = Manifest("segformer_b0", len(CITYSCAPES.names), CITYSCAPES.names, Source("camvid", "train", SIZE_HW))
    save_checkpoint(path, model.state_dict(), manifest, storage=torch.float16)
    return path


def _picture(rng: np.random.Generator, brightness: float) -> tuple[np.ndarray, np.ndarray]:
    """Two patchy fields of colour with grain, their border somewhere, and a label for each."""
    height, width = SIZE_HW
    border = int(rng.integers(8, 24))
    image_HWC = np.empty((height, width, 3))
    image_HWC[:border], image_HWC[border:] = rng.uniform(140, 220, 3), rng.uniform(60, 140, 3)
    image_HWC += rng.normal(0, 20, (height // 8, width // 8, 1)).repeat(8, axis=0).repeat(8, axis=1)  # no two alike
    image_HWC += rng.normal(0, rng.uniform(6, 12), image_HWC.shape)
    label_HW = np.full(SIZE_HW, 3, np.uint8)
    label_HW[:border] = 0
    return np.clip(image_HWC * brightness, 0, 255).astype(np.uint8), label_HW
