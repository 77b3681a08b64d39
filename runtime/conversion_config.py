"""Configuration of `udaseg-runtime checkpoint`, without torch so that `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.option_words import ConfigError, parse_size

SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectConfig:
    """Say what a weight file holds, in which layout, and what of it our networks could take."""

    network: str | None = None
    """Which of several networks in the file: model, ema_model or imnet_model; the first of them by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertConfig:
    """Turn a weight file of another program into a checkpoint, or the other way round, completely or not at all."""

    to: Path
    """File to write (.safetensors; in another layout than ours .pth too)."""
    layout: Literal["native", "nvlabs", "huggingface", "hamlet", "daformer", "hrda"] = "native"
    """Whose names and arrangement to write; native is a checkpoint that runs."""
    network: str | None = None
    """Which of several networks in the file: model, ema_model or imnet_model; the first of them by default."""
    classes: str | None = None
    """Label space of the weights: cityscapes, synthia16, synthia13, viper, camvid, ade20k, or a text file with a name
    per line. By default what the file says, or Cityscapes for 19 classes and ADE20K for 150. Where the number is not
    the file's, a new classifier is drawn at random."""
    dataset: str = "unknown"
    """What the weights were trained on, as LAYOUT:SPLIT or synthetic; a run replays it. Unknown, every run must name
    its --source."""
    size: str = "512x1024"
    """HxW that frames are brought to where a run does not say otherwise."""
    allow_encoder: bool = False
    """Accept an encoder without a head; the head is drawn at random and must be trained first."""

    def __post_init__(self) -> None:
        parse_size(self.size)
        suffixes = (SUFFIX,) if self.layout == "native" else (SUFFIX, ".pth")
        if self.to.suffix not in suffixes:
            raise ConfigError(f"--to {self.to}: expected a name that ends in {' or '.join(suffixes)}")
