"""Where the replay buffer's labelled samples come from, and putting them there.

The source is what the checkpoint was trained on unless the user names another; the synthetic world is rendered on
the spot, a recorded data set is read from its folder. Streams and replay meet here and nowhere else in `runtime`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import Manifest
from replay.buffer import ReplayBuffer
from runtime.config import ConfigError, ReplayConfig, nearest
from runtime.shift.calibration import MIN_SAMPLES
from streams.datasets.samples import LabelledSamples
from streams.datasets.splits import LAYOUTS, open_split
from streams.synthetic.stream import clear_samples

SYNTHETIC = "synthetic"
MAX_RENDERED = 72  # 7 s on one core; more would keep a user waiting
REPLAY_SEED_OFFSET = 7919  # keeps the replay's generator apart from the learner's under one --seed


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """A labelled data set in the user's words: "synthetic", or LAYOUT or LAYOUT:SPLIT with its folder."""

    words: str
    data: Path | None

    @classmethod
    def of(cls, manifest: Manifest, config: ReplayConfig, *, data: Path | None) -> "SourceChoice":
        """What the user named, else what the checkpoint was trained on; ConfigError when its folder is unknown."""
        words = config.source or f"{manifest.source.dataset}:{manifest.source.split}"
        layout = words.partition(":")[0]
        if layout == SYNTHETIC:
            return cls(SYNTHETIC, None)
        if layout not in LAYOUTS:
            near = nearest(layout, [SYNTHETIC, *LAYOUTS])
            raise ConfigError(f"--source {words}: no such source of labelled samples; {near}")
        folder = config.source_data or data
        if folder is None:
            raise ConfigError(
                f"--source-data: not given, but the source samples to replay are {words}; "
                "give their folder, or --source synthetic"
            )
        return cls(words, folder)


def fill_replay(
    choice: SourceChoice, size_HW: tuple[int, int], *, num_bytes: int, seed: int, num_classes: int
) -> ReplayBuffer:
    """A buffer filled to its bound, or with all there is; ConfigError for fewer samples than calibration needs."""
    generator = torch.Generator().manual_seed(seed + REPLAY_SEED_OFFSET)
    _require_room(size_HW, num_bytes)
    replay = ReplayBuffer(size_HW, capacity_bytes=num_bytes, generator=generator, num_classes=num_classes)
    capacity = replay.statistics().capacity_samples
    for image_HWC, label_HW in _samples(choice, size_HW, num_samples=capacity, seed=seed):
        replay.add(image_HWC, label_HW)
    if len(replay) < MIN_SAMPLES:
        raise ConfigError(
            f"--source {choice.words}: {len(replay)} labelled samples, expected at least {MIN_SAMPLES} to know the "
            "source by; join splits with +, or name another source"
        )
    return replay


def _require_room(size_HW: tuple[int, int], num_bytes: int) -> None:
    height, width = size_HW
    needed_mb = math.ceil(MIN_SAMPLES * (height * width * 4 + 1024) / 2**20)  # colours, label, and some for counts
    if num_bytes < needed_mb * 2**20:
        raise ConfigError(
            f"--replay-mb {num_bytes / 2**20:g}: no room for {MIN_SAMPLES} samples of {height}x{width}, the fewest "
            f"that the source is known by; give at least {needed_mb}"
        )


def _samples(
    choice: SourceChoice, size_HW: tuple[int, int], *, num_samples: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if choice.words == SYNTHETIC:
        for frame in clear_samples(min(num_samples, MAX_RENDERED), seed=seed, size_HW=size_HW):
            assert frame.label_HW is not None
            yield frame.image_HWC, frame.label_HW
        return
    split = open_split(choice.words, choice.data, option="--source", is_source=True)
    samples = LabelledSamples(split, size_HW=size_HW)
    for index in np.random.default_rng(seed).permutation(len(samples))[:num_samples]:
        yield samples[int(index)]
