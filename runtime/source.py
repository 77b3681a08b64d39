"""Where the replay buffer's labelled samples come from, and putting them there.

The source is what the checkpoint was trained on unless the user names another; the synthetic world is rendered on
the spot, a recorded data set is read from its folder. Streams and replay meet here and nowhere else in `runtime`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.checkpoint import Manifest
from replay.buffer import ReplayBuffer
from runtime.config import ReplayConfig
from runtime.option_words import ConfigError, nearest
from runtime.shift.calibration import MIN_SAMPLES
from streams.datasets.labels import lookup_table
from streams.datasets.samples import LabelledSamples
from streams.datasets.splits import LAYOUTS, open_split
from streams.frame import Frame
from streams.synthetic.stream import clear_samples

SYNTHETIC = "synthetic"
UNKNOWN = "unknown"  # the data set of a converted checkpoint that does not say
MAX_RENDERED = 72  # 7 s on one core; more would keep a user waiting
HELD_OUT_SEED_OFFSET = 104_729  # other scenes than those replayed
REPLAY_SEED_OFFSET = 7919  # keeps the replay's generator apart from the learner's under one --seed


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """A labelled data set in the user's words: "synthetic", or LAYOUT or LAYOUT:SPLIT with its folder."""

    words: str
    data: Path | None

    @classmethod
    def of(cls, manifest: Manifest, config: ReplayConfig, *, data: Path | None) -> "SourceChoice":
        """What the user named, else what the checkpoint was trained on; ConfigError when its folder is unknown."""
        if config.source is None and manifest.source.dataset in ("", UNKNOWN):
            raise ConfigError(
                f"--source: not given, and {manifest.model} does not say what it was trained on; name labelled samples "
                "to replay, or --source synthetic"
            )
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


@dataclass(frozen=True, slots=True)
class HeldOut:
    """At most `num` labelled samples of the source that no replay buffer of this seed holds, if it was told of them."""

    choice: SourceChoice
    size_HW: tuple[int, int]
    num: int
    seed: int

    def frames(self) -> Iterator[Frame]:
        """Labelled, numbered from 0; rendered or read as they are asked for."""
        if self.choice.words == SYNTHETIC:
            yield from clear_samples(self.num, seed=self.seed + HELD_OUT_SEED_OFFSET, size_HW=self.size_HW)
            return
        samples, order = _shuffled(self.choice, self.size_HW, seed=self.seed)
        for number, index in enumerate(order[len(order) - _num_spared(len(order), self.num) :]):
            image_HWC, label_HW = samples[int(index)]
            yield Frame(number, 0.0, image_HWC, label_HW=label_HW)


def fill_replay(
    choice: SourceChoice,
    size_HW: tuple[int, int],
    *,
    num_bytes: int,
    seed: int,
    num_classes: int,
    num_held_out: int = 0,
    unknown: Sequence[int] = (),
) -> ReplayBuffer:
    """A buffer filled to its bound, or with all there is but what is held out; ConfigError for fewer samples than
    calibration needs. Labels of `unknown` classes are ignored.
    """
    generator = torch.Generator().manual_seed(seed + REPLAY_SEED_OFFSET)
    _require_room(size_HW, num_bytes)
    replay = ReplayBuffer(size_HW, capacity_bytes=num_bytes, generator=generator, num_classes=num_classes)
    capacity = replay.statistics().capacity_samples
    kept = lookup_table({label: label for label in range(256) if label not in unknown})
    for image_HWC, label_HW in _samples(choice, size_HW, num_samples=capacity, seed=seed, held_out=num_held_out):
        replay.add(image_HWC, kept[label_HW])
    if len(replay) < MIN_SAMPLES:
        raise ConfigError(
            f"--source {choice.words}: {len(replay)} labelled samples, expected at least {MIN_SAMPLES} to know the "
            "source by; join splits with +, or name another source"
        )
    return replay


def _require_room(size_HW: tuple[int, int], num_bytes: int) -> None:
    height, width = size_HW
    needed_bytes = MIN_SAMPLES * (height * width * 4 + 1024)  # colours, label, and counts
    if num_bytes < needed_bytes:
        raise ConfigError(
            f"--replay-mb {num_bytes / 2**20:g}: no room for {MIN_SAMPLES} samples of {height}x{width}, the fewest "
            f"that the source is known by; give at least {math.ceil(10 * needed_bytes / 2**20) / 10:g}"
        )


def _samples(
    choice: SourceChoice, size_HW: tuple[int, int], *, num_samples: int, seed: int, held_out: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if choice.words == SYNTHETIC:
        for frame in clear_samples(min(num_samples, MAX_RENDERED), seed=seed, size_HW=size_HW):
            assert frame.label_HW is not None
            yield frame.image_HWC, frame.label_HW
        return
    samples, order = _shuffled(choice, size_HW, seed=seed)
    for index in order[: len(order) - _num_spared(len(order), held_out)][:num_samples]:
        yield samples[int(index)]


def _shuffled(choice: SourceChoice, size_HW: tuple[int, int], *, seed: int) -> tuple[LabelledSamples, np.ndarray]:
    """A data set's samples, and the order in which they are drawn: replay from its front, held-out ones at its end."""
    split = open_split(choice.words, choice.data, option="--source", is_source=True)
    samples = LabelledSamples(split, size_HW=size_HW)
    return samples, np.random.default_rng(seed).permutation(len(samples))


def _num_spared(num: int, held_out: int) -> int:
    """Of `num` samples, how many can be held out: calibration needs some."""
    return min(held_out, max(0, num - MIN_SAMPLES))
