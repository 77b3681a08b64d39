"""What a figure was measured on, and the stopwatch that measures it.

    conditions = describe("cpu", threads=2)
    times_ms = measure_in_turn((forward, step), device=torch.device("cpu"), num_warmup=3, num_rounds=20)

A figure without its conditions is worth nothing: every benchmark keeps device, processor, cores, versions, threads,
warm-up, the other load of the machine and a digest of the code that ran.
"""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from runtime.option_words import ConfigError

MEASURED_PACKAGES = ("streams", "models", "replay", "runtime", "evaluation")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Conditions:
    """`load_1min` is the machine's load average when measuring began: above about 0.5, times are not clean.

    `threads` are those of torch in a measured process, `cores` those the process may use, `code` is a digest of the
    packages that were measured.
    """

    started_utc: str
    device: str
    cpu: str
    cores: int
    threads: int
    load_1min: float
    system: str
    python: str
    torch: str
    package: str
    code: str

    def lines(self) -> list[str]:
        """For people, a fact a line."""
        return [
            f"measured {self.started_utc}, package {self.package}, code {self.code}",
            f"{self.device}; {self.cpu}, {self.cores} cores, {self.threads} threads, load {self.load_1min:.1f} before",
            f"{self.system}, Python {self.python}, torch {self.torch}",
        ]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of `num` samples, in their unit; all nan where there is none."""

    p50: float
    p95: float
    p99: float
    num: int

    @classmethod
    def of(cls, samples: np.ndarray) -> "Percentiles":
        if samples.size == 0:
            return cls(float("nan"), float("nan"), float("nan"), 0)
        p50, p95, p99 = np.percentile(samples, (50, 95, 99)).tolist()
        return cls(p50, p95, p99, int(samples.size))


def describe(device: str, *, threads: int) -> Conditions:
    """The conditions from now on; `device` is "cpu" or "cuda"."""
    return Conditions(
        started_utc=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        device=f"cuda {torch.cuda.get_device_name()}" if device == "cuda" else "cpu",
        cpu=cpu_model(),
        cores=len(usable_cores()),
        threads=threads,
        load_1min=os.getloadavg()[0],
        system=platform.platform(terse=True),
        python=platform.python_version(),
        torch=torch.__version__,
        package=metadata.version("udaseg-runtime"),
        code=code_digest(),
    )


def cpu_model() -> str:
    """The processor's name as Linux gives it, else what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> list[int]:
    """Numbers of the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def code_digest(root: Path = ROOT) -> str:
    """Twelve hexadecimal digits that change with any Python file of the measured packages."""
    digest = hashlib.sha256()
    for package in MEASURED_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def measure_in_turn(
    functions: Sequence[Callable[[], object]],
    *,
    device: torch.device,
    num_warmup: int,
    num_rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
    """Milliseconds of each call, (rounds, functions); every round calls each function once, so that drift cancels.

    The first `num_warmup` rounds do not count. The device is idle before the clock starts and when it stops.
    """
    times_ms = np.zeros((num_rounds, len(functions)))
    for round_number in range(-num_warmup, num_rounds):
        for column, function in enumerate(functions):
            _wait_for(device)
            started_s = clock()
            function()
            _wait_for(device)
            if round_number >= 0:
                times_ms[round_number, column] = (clock() - started_s) * 1e3
    return times_ms


def compute_device(name: str) -> torch.device:
    """The device of an option "auto", "cpu" or "cuda"; ConfigError where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is visible to torch; use --device cpu or auto")
    is_cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if is_cuda else "cpu")


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
