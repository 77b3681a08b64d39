"""Where a training computes, in which precision, and how much it does at once."""

import os
from dataclasses import dataclass

import torch

from runtime.config import ConfigError
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
    precision = precision_of(config.precision, computes_bf16=_computes_bf16(kind))
    return Hardware(torch.device(kind), precision, config.batch or DEFAULT_BATCH[kind], workers)


def precision_of(asked: str, *, computes_bf16: bool) -> torch.dtype:
    """bf16 or fp32 as asked; by auto bf16 where the hardware computes in it, since emulated it is slower than fp32."""
    is_bf16 = asked == "bf16" or (asked == "auto" and computes_bf16)
    return torch.bfloat16 if is_bf16 else torch.float32


def _computes_bf16(kind: str) -> bool:
    """GPUs since Ampere, and CPUs with AVX512-BF16 or AMX."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
