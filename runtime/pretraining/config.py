"""Configuration of `udaseg-runtime pretrain`, without torch so that `--help` is quick.

Read by `runtime.pretrain` alone; what lies below takes plain values. Settings left at None follow the data set and
device.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.config import ConfigError, parse_size

SYNTHETIC = "synthetic"
SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class DatasetDefaults:
    """What suits a data set: frame and crop size (HxW)."""

    size: str
    crop: str


DATASET_DEFAULTS: dict[str, DatasetDefaults] = {
    SYNTHETIC: DatasetDefaults("256x512", "256x256"),
    "camvid": DatasetDefaults("180x240", "160x192"),
}
OTHER_DEFAULTS = DatasetDefaults("512x1024", "512x512")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Train a source model on labelled clear-weather images and write its checkpoint."""

    out: Path
    """Checkpoint to write (.safetensors). Training saves its state beside it as OUT.partial and goes on from there."""
    dataset: str = SYNTHETIC
    """synthetic (the clear rendered world), or LAYOUT or LAYOUT:SPLIT; splits are joined with +."""
    data: Path | None = None
    """Folder of the data set; synthetic needs none."""
    model: str = "segformer_b0"
    """Architecture (see `udaseg-runtime models`)."""
    checkpoint: str | None = None
    """Checkpoint to begin from, of that architecture and in the Cityscapes classes: ours, or a converted encoder.
    Random weights by default."""
    encoder_weights: Path | None = None
    """Safetensors file to begin the encoder with, in timm's layout or its authors', for timm: models; else random."""
    validation: str | None = None
    """Split of the data set to score on, none by default; synthetic scores on unseen places by itself."""
    size: str | None = None
    """HxW images are brought to; synthetic 256x512, camvid 180x240 by default."""
    crop: str | None = None
    """HxW the network sees in training; synthetic 256x256, camvid 160x192 by default."""
    samples: int = 1500
    """Frames rendered for training on the synthetic world."""
    steps: int = 6000
    """Optimiser steps."""
    batch: int | None = None
    """Crops per step; 8 on a CPU, 32 on a GPU by default."""
    learning_rate: float = 1.5e-3
    """Peak step size of AdamW, reached after the warm-up and then lowered to 0 along a cosine."""
    head_multiplier: float = 1.0
    """Factor on the head's step size."""
    weight_decay: float = 0.01
    """Decoupled weight decay; norms and biases have none."""
    ema_decay: float = 0.998
    """Per-step decay of the averaged weights, which are what is scored and written."""
    scale_low: float = 0.75
    """Smallest random scale of a training image."""
    scale_high: float = 1.75
    """Largest random scale of a training image."""
    photometric: float = 0.5
    """Strength of the colour distortion, 0 to 1. Strong values make the model immune to the weather it should meet
    later.
    """
    rare_class_temperature: float | None = 0.01
    """Temperature of rare-class sampling (DAFormer); None draws images uniformly."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16 autocasts the network, the loss stays fp32; auto takes it where the hardware computes in it."""
    workers: int | None = None
    """Processes that prepare data; 1 on a CPU, up to 8 beside a GPU by default."""
    threads: int | None = None
    """Threads of the training step on a CPU; torch's default if unset."""
    validate_every: int = 1000
    """Steps between scores on the validation frames."""
    save_every_s: float = 60.0
    """Seconds between saved states."""
    seed: int = 0
    """Seed of weights, data and places."""
    quiet: bool = False
    """Show no progress."""

    def __post_init__(self) -> None:
        self._check_output()
        for option in ("samples", "steps", "validate_every"):
            _require(getattr(self, option) >= 1, option, getattr(self, option), "1 or more", "try the default")
        _require(self.batch is None or self.batch >= 2, "batch", self.batch, "2 or more", "batch norm needs two images")
        _require(0 < self.learning_rate <= 1, "learning_rate", self.learning_rate, "above 0, at most 1", "try 1.5e-3")
        _require(self.head_multiplier > 0, "head_multiplier", self.head_multiplier, "above 0", "try 1")
        _require(0 <= self.weight_decay < 1, "weight_decay", self.weight_decay, "0 to below 1", "try 0.01")
        _require(0 <= self.ema_decay < 1, "ema_decay", self.ema_decay, "0 to below 1", "try 0.998")
        _require(0 < self.scale_low <= self.scale_high, "scale_low", self.scale_low, "0 < low <= high", "try 0.75")
        _require(0 <= self.photometric <= 1, "photometric", self.photometric, "0 to 1", "try 0.5")
        if self.encoder_weights is not None:
            is_timm = self.model.startswith("timm:")
            _require(is_timm, "encoder_weights", self.encoder_weights, "--model timm:NAME", "leave it out")
            _require(self.checkpoint is None, "encoder_weights", self.encoder_weights, "no --checkpoint", "give one")
        temperature = self.rare_class_temperature
        _require(temperature is None or temperature > 0, "rare_class_temperature", temperature, "above 0", "try 0.01")
        _require(self.workers is None or self.workers >= 0, "workers", self.workers, "0 or more", "try 1")
        _require(self.threads is None or self.threads >= 1, "threads", self.threads, "1 or more", "try 2")
        _require(self.save_every_s > 0, "save_every_s", self.save_every_s, "above 0", "try 60")
        _require(self.seed >= 0, "seed", self.seed, "0 or more", "any whole number will do")

    @property
    def layout(self) -> str:
        return self.dataset.partition(":")[0]

    @property
    def uses_synthetic(self) -> bool:
        return self.layout == SYNTHETIC

    @property
    def size_HW(self) -> tuple[int, int]:
        return parse_size(self.size or self._defaults.size)

    @property
    def crop_HW(self) -> tuple[int, int]:
        return parse_size(self.crop or self._defaults.crop)

    @property
    def partial(self) -> Path:
        """Where the state of an unfinished training lies."""
        return self.out.with_name(self.out.name + ".partial")

    @property
    def _defaults(self) -> DatasetDefaults:
        return DATASET_DEFAULTS.get(self.layout, OTHER_DEFAULTS)

    def _check_output(self) -> None:
        _require(self.out.suffix == SUFFIX, "out", self.out, f"a name ending in {SUFFIX}", "rename it")
        _require(
            self.out.parent.is_dir(), "out", self.out, "a file in an existing folder", f"mkdir -p {self.out.parent}"
        )
        _require(not self.out.exists(), "out", self.out, "a file that does not exist yet", "choose another name")


def _require(holds: bool, option: str, value: object, expected: str, remedy: str) -> None:
    if not holds:
        raise ConfigError(f"--{option.replace('_', '-')} {value}: expected {expected}; {remedy}")
