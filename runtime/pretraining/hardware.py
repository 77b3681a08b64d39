"""Where a training computes, in which precision, and how much it does at once."""

import os
from dataclasses import dataclass

import torch

from models.precision import chosen_precision
from runtime.option_words import ConfigError
from runtime.pretraining.config import PretrainConfig

DEFAULT_BATCH = {"cpu": 8, "cuda": 32}
MAX_WORKERS = {"cpu": 1, "cuda": 8}


@dataclass(frozen=True, slots=True)
class Hardware:
    """Device and what depends on it."""

    device: torch.device
    precision: torch.dtype
    batch: int
    workers: int


def choose_hardware(config: PretrainConfig) -> Hardware:
    """What the configuration asks for, the rest by what there is; ConfigError for a GPU that is not there."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is visible to torch; use --device cpu or auto")
    kind = "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
    workers = max(0, min(MAX_WORKERS[kind], (os.cpu_count() or 1) - 1)) if config.workers is None else config.workers
    device = torch.device(kind)
    precision = chosen_precision(config.precision, device)
    return Hardware(device, precision, config.batch or DEFAULT_BATCH[kind], workers)
