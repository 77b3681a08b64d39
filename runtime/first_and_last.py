"""The first and the last event of a run: what is about to happen, and what it came to."""

import platform
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from models.trainable import frozen_digest
from runtime.build import Parts
from runtime.config import RuntimeConfig
from runtime.events import RunFinished, RunStarted
from runtime.option_words import parse_latency


@dataclass(frozen=True, slots=True)
class Accounts:
    """How a run ended; see `RunFinished`."""

    reason: str
    wall_s: float
    in_flight: int


def opening(config: RuntimeConfig, parts: Parts, *, first_frame: int) -> RunStarted:
    """`first_frame` is where the stream begins, above 0 where a run goes on."""
    num_left = parts.stream.num_frames
    return RunStarted(
        stream=parts.stream.name,
        method=config.adaptation.title,
        model=parts.manifest.model,
        device=str(parts.device),
        seed=config.run.seed,
        pace=config.run.pace,
        size_HW=parts.size_HW,
        stream_fps=parts.stream.fps,
        num_frames=None if num_left is None else num_left + first_frame,
        classes=parts.manifest.classes,
        trainable_parameters=parts.report.trainable if config.adaptation.method != "frozen" else 0,
        total_parameters=parts.report.total,
        frozen_digest=frozen_digest(parts.model),
        round_length=parts.round_length,
        track=parts.track,
        latency=_latency_name(config.run.latency),
    )


def closing(parts: Parts, accounts: Accounts, *, stream_faults: Mapping[str, int]) -> RunFinished:
    """Memory is the most the process ever held; on a GPU also what it held there."""
    is_cuda = parts.device.type == "cuda"
    return RunFinished(
        reason=accounts.reason,
        wall_s=accounts.wall_s,
        in_flight=accounts.in_flight,
        frozen_digest=_last_digest(parts),
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        peak_device_mb=torch.cuda.max_memory_allocated() / 2**20 if is_cuda else 0.0,
        replay_mb=parts.replay.statistics().num_bytes / 2**20,
        stream_faults=dict(stream_faults),
    )


def _last_digest(parts: Parts) -> str | None:
    """None where the weights can no longer be read: of a run that lost its device the rest is told all the same."""
    try:
        return frozen_digest(parts.model)
    except RuntimeError:
        return None


def device_name(device: torch.device) -> str:
    """For people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _latency_name(words: str | None) -> str | None:
    """Not the folder of a recording: methods are compared each by a recording of its own."""
    return "recorded" if words is not None and isinstance(parse_latency(words), Path) else words
