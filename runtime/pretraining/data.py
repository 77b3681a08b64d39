"""Labelled samples of a training: rendered or read once into memory, as uint8, or left on disk in their own sizes.

On two cores rendering one frame costs about what training on it does, so frames are made once and shown in many crops.
Published pipelines begin from images as they are, which may be many and large, so these are read at each draw.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from replay.pool import FilePool, LabelledPool, SamplePool
from runtime.option_words import ConfigError, nearest
from runtime.pretraining.config import SYNTHETIC, PretrainConfig
from runtime.pretraining.render import rendered_samples
from streams.datasets.labels import CITYSCAPES
from streams.datasets.samples import LabelledSamples
from streams.datasets.splits import LAYOUTS, Split, open_split
from streams.images import resize_image, resize_label

CLEAR_SPLIT = "clear"
NUM_VALIDATION_SAMPLES = 64
VALIDATION_SEED_OFFSET = 1_000_003  # rendered validation places under --seed S are training places of no sensible seed


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What to train on, what to score on (None: nothing), and the names of layout and split for the manifest."""

    layout: str
    split: str
    training: LabelledPool
    validation: LabelledPool | None


def load_training_data(config: PretrainConfig, *, processes: int) -> TrainingData:
    """Renders or reads the samples; UnknownStream and StreamNotOpened say in a line what cannot be found or read."""
    if config.uses_synthetic:
        _check_synthetic(config)
        training = _rendered(config.samples, config, seed=config.seed, processes=processes)
        seed = config.seed + VALIDATION_SEED_OFFSET
        validation = _rendered(NUM_VALIDATION_SAMPLES, config, seed=seed, processes=processes)
        return TrainingData(SYNTHETIC, CLEAR_SPLIT, training, validation)
    if config.layout not in LAYOUTS:
        near = nearest(config.layout, [SYNTHETIC, *LAYOUTS])
        raise ConfigError(f"--dataset {config.dataset}: no such data set; {near}")
    split = open_split(config.dataset, config.data, is_source=True)
    scored = None
    if config.validation is not None:
        words = f"{config.layout}:{config.validation}"
        scored = _read(open_split(words, config.data, option="--validation "), config)
    return TrainingData(split.layout.name, split.name, _read(split, config), scored)


def first_samples(pool: LabelledPool, num: int, *, size_HW: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Images (N, H, W, 3) and labels (N, H, W) of the first `num` samples or of all, brought to one size."""
    images, labels = [], []
    for index in range(min(num, len(pool))):
        image_HWC, label_HW = (tensor.numpy() for tensor in pool.sample(index))
        images.append(torch.from_numpy(resize_image(image_HWC, size_HW)))
        labels.append(torch.from_numpy(resize_label(label_HW, size_HW)))
    return torch.stack(images), torch.stack(labels)


def _check_synthetic(config: PretrainConfig) -> None:
    unused: dict[str, str | Path | None] = {"--data": config.data, "--validation": config.validation}
    for option, value in unused.items():
        if value is not None:
            raise ConfigError(f"{option} {value}: has no meaning with the synthetic world; drop it or give --dataset")
    if config.dataset not in (SYNTHETIC, f"{SYNTHETIC}:{CLEAR_SPLIT}"):
        raise ConfigError(f"--dataset {config.dataset}: the synthetic world has one source split; give {SYNTHETIC}")


def _rendered(num: int, config: PretrainConfig, *, seed: int, processes: int) -> SamplePool:
    samples = rendered_samples(num, seed=seed, size_HW=config.size_HW, processes=processes)
    return SamplePool.collect(samples, num_samples=num, num_classes=len(CITYSCAPES.names))


def _read(split: Split, config: PretrainConfig) -> LabelledPool:
    num_classes = len(CITYSCAPES.names)
    if config.is_published:
        return FilePool(LabelledSamples(split, keeps_sizes=True), num_classes=num_classes)
    samples = LabelledSamples(split, size_HW=config.size_HW)
    return SamplePool.collect(_each(samples), num_samples=len(samples), num_classes=num_classes)


def _each(samples: LabelledSamples) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for number in range(len(samples)):
        yield samples[number]
