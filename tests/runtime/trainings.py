"""Small trainings: street scenes in CamVid's layout, a configuration that takes a moment, a run that is watched."""

import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from runtime.pretrain import PretrainResult, pretrain
from runtime.pretraining.config import PretrainConfig


def street_scenes(folder: Path) -> Path:
    """Sixteen 32x64 street scenes in CamVid's layout: sky above, road below, a car somewhere on it."""
    generator = np.random.default_rng(0)
    lines = []
    (folder / "train").mkdir()
    (folder / "trainannot").mkdir()
    for number in range(16):
        horizon, left = int(generator.integers(10, 20)), int(generator.integers(0, 48))
        label = np.full((32, 64), 3, np.uint8)
        label[:horizon] = 0
        label[horizon + 2 : horizon + 10, left : left + 14] = 8
        colours = np.zeros((12, 3))
        colours[[0, 3, 8]] = (230, 180, 150), (90, 90, 90), (30, 30, 200)
        image = colours[label] + generator.normal(0, 8, (32, 64, 3))
        cv2.imwrite(str(folder / f"train/{number:03d}.jpg"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / f"trainannot/{number:03d}.png"), label)
        lines.append(f"train/{number:03d}.jpg trainannot/{number:03d}.png\n")
    (folder / "train.txt").write_text("".join(lines))
    return folder


def tiny(camvid: Path, out: Path, **changes: Any) -> PretrainConfig:
    settings: dict[str, Any] = {
        "dataset": "camvid:train", "data": camvid, "out": out, "size": "32x64", "crop": "32x32", "steps": 6, "batch": 4,
        "learning_rate": 2e-3, "workers": 0, "device": "cpu", "precision": "fp32",
    }  # fmt: skip
    return PretrainConfig(**(settings | changes))


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def run_quietly(
    config: PretrainConfig, *, after_step: int | None = None, happens: Callable[[], None] = press_ctrl_c
) -> tuple[PretrainResult, str]:
    """Trains with a clock that is read about once a step and, after the given one, lets something happen."""
    calls = 0

    def clock() -> float:
        nonlocal calls
        calls += 1
        if after_step is not None and calls == after_step + 3:
            happens()
        return calls * 1e-3

    output = io.StringIO()
    result = pretrain(config, console=Console(file=output, width=200), clock=clock)
    return result, output.getvalue()
