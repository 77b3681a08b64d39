"""`udaseg-runtime bench render`: how fast street world and weather are drawn on one core, and how evenly.

    udaseg-runtime bench render --size 256x512

The process binds itself to one core where the system can do that, so libraries cannot spread the work; several
streets are driven, because speed depends on what is in view. Processor time beside wall time tells what others took.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.conditions import Percentiles, describe
from benchmarks.options import check_at_least
from benchmarks.results import Result, check_save_name, options_of, publish
from benchmarks.table import Table, decimal
from runtime.arguments import parse
from runtime.option_words import parse_size
from streams.synthetic.scene import Scene
from streams.synthetic.weather import Weather, apply_weather

WEATHERS = {
    "rain_25mm": Weather(rain_mm_h=25),
    "rain_200mm": Weather(rain_mm_h=200),
    "fog_150m": Weather(fog_visibility_m=150),
    "dusk": Weather(night=0.5),
    "night": Weather(night=1.0),
    "low_sun": Weather(low_sun=0.8),
    "snow_5mm": Weather(snow_mm_h=5),
    "defocus_2px": Weather(defocus_px=2.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderConfig:
    """Measure how fast streets and weather are drawn."""

    size: str = "256x512"
    """HxW of frames."""
    streets: int = 8
    """Streets to drive; speed depends on what is in view."""
    frames: int = 60
    """Frames of each street and of each weather."""
    out: Path = Path("runs/bench-render")
    """Folder for the tables."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        parse_size(self.size)
        check_at_least("--streets", self.streets, 1)
        check_at_least("--frames", self.frames, 1)
        check_save_name(self.save)


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Seconds of wall and processor time, one of each a frame."""

    wall_s: np.ndarray
    cpu_s: np.ndarray


@dataclass(frozen=True, slots=True)
class Rate:
    """What is drawn, how many frames a second of wall and of processor time, and wall ms a frame."""

    name: str
    per_s: float
    per_cpu_s: float
    frame_ms: Percentiles

    @classmethod
    def of(cls, name: str, times: Times) -> "Rate":
        return cls(
            name, 1 / float(times.wall_s.mean()), 1 / float(times.cpu_s.mean()), Percentiles.of(times.wall_s * 1e3)
        )


def main(arguments: Sequence[str]) -> int:
    """Measure streets and weathers, print and write the table."""
    config = parse(RenderConfig, arguments, prog="udaseg-runtime bench render")
    size_HW = parse_size(config.size)
    conditions = describe("cpu", threads=1)
    if not bind_to_one_core():
        print("note: could not bind to one core; libraries may use more")
    rates = measure(size_HW, num_streets=config.streets, num_frames=config.frames)
    result = Result(
        "render", conditions, options=options_of(config), tables=(rate_table(config.size, rates),), data=rates
    )
    publish(result, folder=config.out, save=config.save)
    return 0


def measure(size_HW: tuple[int, int], *, num_streets: int, num_frames: int) -> list[Rate]:
    """A new street with its first frame, `num_frames` more of each street, and as many of each weather."""
    scenes: list[Scene] = []

    def open_street() -> None:
        scenes.append(Scene(seed=len(scenes), size_HW=size_HW))
        scenes[-1].render(0)

    rates = [Rate.of("new street", timed([open_street] * num_streets))]
    drives = [partial(scene.render, t) for scene in scenes for t in range(1, num_frames + 1)]
    rates.append(Rate.of("street", timed(drives)))
    shot = scenes[0].render(0)
    for name, weather in WEATHERS.items():
        draw = partial(apply_weather, shot.image_HWC, shot.depth_HW, weather, seed=0)
        draw(index=num_frames)  # the first frame of a weather builds tables
        rates.append(Rate.of(name, timed([partial(draw, index=index) for index in range(num_frames)])))
    return rates


def timed(calls: Sequence[Callable[[], object]]) -> Times:
    """Times of the calls, one after the other."""
    wall, cpu = [], []
    for call in calls:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - wall_s)
        cpu.append(time.process_time() - cpu_s)
    return Times(np.array(wall), np.array(cpu))


def bind_to_one_core() -> bool:
    """Keep this process on one core; False where the system has no such call."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return True


def rate_table(size: str, rates: Sequence[Rate]) -> Table:
    """One line for each thing drawn."""
    return Table(
        title=f"Drawing at {size} on one core",
        header=("what", "frames/s", "by processor time", "p50 ms", "p95 ms", "frames"),
        rows=tuple(
            (
                rate.name,
                *(decimal(value) for value in (rate.per_s, rate.per_cpu_s, rate.frame_ms.p50, rate.frame_ms.p95)),
                str(rate.frame_ms.num),
            )
            for rate in rates
        ),
        note="A street comes with label, depth and motion; the time of a weather is added to it.",
    )
