"""What a soak found: growth, latencies by tenths of its time, and whether they keep within their bounds."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conditions import Percentiles
from benchmarks.table import Table, decimal
from benchmarks.trend import Trend
from benchmarks.watched import Sample
from evaluation.run_folder import Row, lookup, number, read_summary

WINDOW_S = 30.0  # memory is judged by medians of so long
MAX_SLOPE_MB_PER_H = 1.0
MAX_P99_RATIO = 1.1
LEAST_FRAMES = 100  # in a tenth, for its p99 to be more than its maximum


@dataclass(frozen=True, slots=True)
class Soak:
    """What was found after the warm-up; `tenths` are latencies in ms of ten equal stretches of time."""

    minutes: float
    warmup: float
    rss: Trend
    anonymous: Trend
    rss_mb: tuple[float, float]
    threads: tuple[int, ...]
    descriptors: tuple[int, ...]
    series: tuple[int, ...]
    tenths: tuple[Percentiles, ...]
    captured: int
    predicted: int
    visits: int
    shifts: int
    steps: int
    versions: int
    samples: tuple[Sample, ...]

    @property
    def p99_ratio(self) -> float:
        """Last tenth over first; nan where either has too few frames."""
        first, last = self.tenths[0], self.tenths[-1]
        return last.p99 / first.p99 if min(first.num, last.num) >= LEAST_FRAMES else float("nan")


def judge(
    samples: Sequence[Sample], series: Sequence[int], run_dir: Path, *, minutes: float, warmup: float
) -> Soak:
    """The figures of a finished run, both times in minutes; `series` go with `samples`."""
    counted = [sample for sample in samples if sample.at_s >= warmup * 60]
    times_s = np.array([sample.at_s for sample in counted])
    rss_mb, anonymous_mb = (
        np.array([getattr(sample, name) for sample in counted]) for name in ("rss_mb", "anonymous_mb")
    )
    summary = read_summary(run_dir) or {}
    return Soak(
        minutes=minutes,
        warmup=warmup,
        rss=Trend.of(times_s, rss_mb, window_s=WINDOW_S),
        anonymous=Trend.of(times_s, anonymous_mb, window_s=WINDOW_S),
        rss_mb=(float(rss_mb[0]), float(rss_mb[-1])),
        threads=tuple(sample.threads for sample in counted),
        descriptors=tuple(sample.descriptors for sample in counted),
        series=tuple(series[len(samples) - len(counted) :]),
        tenths=tenths(*latencies(run_dir), warmup_s=warmup * 60),
        captured=_count(summary, "frames.captured"),
        predicted=_count(summary, "frames.predicted"),
        visits=_count((lookup(summary, "quality.domains") or [{}])[-1], "visit") + 1,
        shifts=_count(summary, "num_shifts"),
        steps=_count(summary, "adaptation.steps_applied"),
        versions=_count(summary, "adaptation.last_version"),
        samples=tuple(samples),
    )


def latencies(run_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Time since the start in s and latency in ms of every prediction, read line by line."""
    rows = np.array(list(_predictions(run_dir / "events.jsonl"))).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def tenths(times_s: np.ndarray, latencies_ms: np.ndarray, *, warmup_s: float) -> tuple[Percentiles, ...]:
    """Percentiles of ten equal stretches of the time after the warm-up."""
    last_s = float(times_s.max(initial=warmup_s))
    edges_s = np.linspace(warmup_s, np.nextafter(last_s, np.inf), 11)
    pairs = itertools.pairwise(edges_s)
    return tuple(Percentiles.of(latencies_ms[(times_s >= low) & (times_s < high)]) for low, high in pairs)


def is_constant(counts: Sequence[int]) -> bool:
    """Whether a count ends as it began: by medians of thirds, as a page just being served holds a few more."""
    third = max(1, len(counts) // 3)
    return float(np.median(counts[:third])) == float(np.median(counts[-third:]))


def verdict_table(soak: Soak) -> Table:
    """Each figure, its bound, and whether it holds."""
    rows = [
        (
            "memory, MB/h",
            f"{decimal(soak.rss.slope_per_h, digits=2, is_signed=True)} "
            f"({decimal(soak.rss.low_per_h, digits=2)} to {decimal(soak.rss.high_per_h, digits=2)})",
            f"< {MAX_SLOPE_MB_PER_H:g}",
            _verdict(soak.rss.slope_per_h < MAX_SLOPE_MB_PER_H),
        ),
        ("threads", _range(soak.threads), "constant", _verdict(is_constant(soak.threads))),
        ("descriptors", _range(soak.descriptors), "constant", _verdict(is_constant(soak.descriptors))),
        ("time series in /metrics", _range(soak.series), "constant", _verdict(len(set(soak.series)) == 1)),
        (
            "p99 of the last tenth over the first",
            decimal(soak.p99_ratio, digits=2),
            f"<= {MAX_P99_RATIO:g}",
            _verdict(soak.p99_ratio <= MAX_P99_RATIO),
        ),
    ]
    measured_min = soak.minutes - soak.warmup
    return Table(
        title=f"Soak: {soak.minutes:g} minutes, of which the first {soak.warmup:g} do not count",
        header=("what", "found", "bound", "holds"),
        rows=tuple(rows),
        note=f"Memory is resident memory as the kernel counts it, {decimal(soak.rss_mb[0])} MB when counting began and "
        f"{decimal(soak.rss_mb[1])} MB at the end; its slope is Theil and Sen's over {soak.rss.num} medians of "
        f"{WINDOW_S:g} s in {measured_min:g} minutes, with its 95 % interval. Not backed by files: "
        f"{decimal(soak.anonymous.slope_per_h, digits=2, is_signed=True)} MB/h. The run saw {soak.captured} frames, "
        f"answered {soak.predicted}, and took {soak.steps} learning steps in {soak.visits} visits with {soak.shifts} "
        f"detected shifts; its last version was {soak.versions}. Threads, descriptors and series: least to most.",
    )


def course_table(soak: Soak) -> Table:
    """Latency by tenths of the time."""
    return Table(
        title="Capture to result by tenths of the time that counts",
        header=("tenth", "frames", "p50 ms", "p95 ms", "p99 ms"),
        rows=tuple(
            (str(position), str(tenth.num), *(decimal(value) for value in (tenth.p50, tenth.p95, tenth.p99)))
            for position, tenth in enumerate(soak.tenths, start=1)
        ),
    )


def _predictions(path: Path) -> Iterator[tuple[float, float]]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"prediction"' in line:
                row = json.loads(line)
                yield number(row.get("t_s")), number(row.get("latency_ms"))


def _count(row: Row, path: str) -> int:
    return int(lookup(row, path) or 0)


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else str(counts[0])


def _verdict(holds: bool) -> str:
    return "yes" if holds else "NO"
