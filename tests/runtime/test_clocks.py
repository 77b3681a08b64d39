"""Wall-clock steps of an hour change nothing: what is decided or measured is decided and measured by monotonic clocks.

Monotonic clocks are arguments, so a run is held against one whose wall clock leaps; who reads the wall clock at all is
looked up in the code; and a real process is run whose C library lies about the time of day.
"""

import ast
import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime import events
from runtime.build import build
from runtime.live import Live
from runtime.metrics import Metrics, new_registry
from runtime.observer import Event
from runtime.rules import LiveRules, ThreadBudget
from tests.fakes import CLASSES, ManualClock
from tests.runtime.test_determinism import Telling, Turns
from tests.test_architecture import FILES, named, tree

HOUR_S = 3600.0
PERIOD_S, MAX_AGE_S = 0.1, 0.25

# Who may ask for the time of day, and what for. Benchmarks may also name folders by it and date their figures.
WALL_CLOCK_READERS = {
    "runtime/metrics.py": {"time.time"},
    "runtime/origin.py": {"datetime.now"},
}  # on the wire; a name
IN_BENCHMARKS = {"datetime.now"}
WALL_CLOCK = {
    "time": {"time", "time_ns", "ctime", "localtime", "gmtime", "strftime", "clock_gettime", "clock_gettime_ns"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def wall_clock_reads(module: ast.Module) -> set[str]:
    """Every mention of a function that gives the time of day, called or handed on, and imports of it by name."""
    found = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in WALL_CLOCK.get(owner, set()):
                found.add(f"{owner}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {f"time.{alias.name}" for alias in node.names if alias.name in WALL_CLOCK["time"]}
    return found


def test_nothing_but_names_and_timestamps_reads_the_wall_clock() -> None:
    readers = {named(path): wall_clock_reads(tree(path)) for path in FILES}
    outside = {name: reads for name, reads in readers.items() if reads and not name.startswith("benchmarks/")}
    assert outside == WALL_CLOCK_READERS
    assert set().union(*(reads for name, reads in readers.items() if name not in outside)) == IN_BENCHMARKS


@pytest.mark.parametrize(
    "code",
    [
        "import time\nx = time.time()",
        "from time import time as now",
        "def f(clock=time.time_ns): pass",
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "datetime.date.today()",
    ],
)
def test_every_way_to_read_it_is_recognised(code) -> None:
    assert wall_clock_reads(ast.parse(code)) != set()


def test_monotonic_clocks_are_not_mistaken_for_it() -> None:
    code = "time.monotonic(); time.perf_counter; clock.time; datetime.fromtimestamp(0)"
    assert wall_clock_reads(ast.parse(code)) == set()


class Late:
    """A stream at its own pace by a clock moved by hand; every third frame is older than may be answered."""

    def __init__(self, stream, clock: ManualClock, turns: Turns) -> None:
        self._stream = stream
        self._clock = clock
        self._turns = turns

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def __iter__(self):
        for frame in self._stream:
            age_s = 2 * MAX_AGE_S if frame.index % 3 == 2 else 0.0
            yield dataclasses.replace(frame, captured_at_s=self._clock.advance(PERIOD_S) - age_s)
            self._turns.wait_for(frame.index)


def plain(event: Event) -> str:
    """Everything an event says, its times included."""
    values = [getattr(event, field.name) for field in dataclasses.fields(event)]
    return f"{type(event).__name__} " + " ".join(
        value.tobytes().hex() if isinstance(value, np.ndarray) else repr(value) for value in values
    )


def leaping() -> Iterator[float]:
    """Forward and back by an hour at every reading."""
    for number in itertools.count():
        yield 1e9 + HOUR_S * (0, 1, -1, 1)[number % 4]


def live_run(tiny_world, wall_clock) -> tuple[list[str], list[float], list[str]]:
    """All events, latencies, and what a scrape shows but times of day, of a live run with a fixed interleaving."""
    clock, turns = ManualClock(), Turns()
    parts = build(tiny_world.config(run={"pace": "lockstep"}), clock=clock)
    registry = new_registry()
    metrics = Metrics(registry, stream="s", classes=CLASSES, wall_clock=wall_clock)
    seen: list[str] = []
    latencies_s: list[float] = []

    def dispatch(event: Event) -> None:
        seen.append(plain(event))
        metrics.observe(event)
        if isinstance(event, events.Prediction):
            latencies_s.append(event.latency_s)
        elif isinstance(event, events.FrameDropped):
            turns.is_over(event.index)

    live = Live(
        Late(parts.stream, clock, turns),
        parts.driver._predictor,
        Telling(parts.driver._cycle, turns),
        clock=clock,
        rules=LiveRules(ThreadBudget(1, 1), adapt="thread", is_lossless=True, max_age_s=MAX_AGE_S),
    )
    live.run(dispatch, threading.Event())
    shown = [
        f"{sample.name} {sample.labels} {sample.value}"
        for family in registry.collect()
        if not family.name.startswith("process_")
        for sample in family.samples
        if not sample.name.endswith(("_timestamp_seconds", "_created"))
    ]
    return seen, latencies_s, shown


def test_a_wall_clock_that_leaps_changes_no_event_latency_or_drop(tiny_world) -> None:
    readings = leaping()
    steady, leapt = live_run(tiny_world, lambda: 1e9), live_run(tiny_world, lambda: next(readings))
    assert next(readings) != next(readings) and leapt == steady
    kinds = [line.partition(" ")[0] for line in steady[0]]
    assert kinds.count("FrameDropped") == 4 and kinds.count("Prediction") == 8 and "AdaptationStep" in kinds
    assert set(steady[1]) == {0.0}


# Counts seconds of the time of day an hour back, right and an hour ahead, in turn; monotonic clocks stay true.
LYING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static time_t leap(void) { static int n; return ((n++ / 7) % 3 - 1) * 3600; }
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) t->tv_sec += leap();
    return code;
}
time_t time(time_t *t) {
    struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now; (void)zone; clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec; t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""
READ_CLOCKS = "import time; w = [time.time() for _ in range(50)]; m = [time.monotonic() for _ in range(50)]; "
COMMAND = "from benchmarks.cli import main; main()"
TIMES = {"t_s", "at_s", "latency_ms", "inference_ms", "duration_ms", "wall_s", "peak_rss_mb"}


@pytest.fixture(scope="module")
def lying(tmp_path_factory) -> dict[str, str]:
    """An environment in which the C library lies about the time of day."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler to build a library that lies about the time")
    folder = tmp_path_factory.mktemp("clock")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(LYING_CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library)}
    check = READ_CLOCKS + "assert max(w) - min(w) > 7000 and max(m) - min(m) < 3600"
    if subprocess.run([sys.executable, "-c", check], env=environment).returncode != 0:
        pytest.skip("this interpreter does not ask the C library for the time")
    return environment


def lines_of(arguments: list[str], run_dir: Path, environment: dict[str, str]) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments, "--quiet", "--run-dir", str(run_dir)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]


@pytest.mark.faults
def test_a_real_process_whose_time_of_day_leaps_learns_the_same(tiny_world, lying, tmp_path) -> None:
    arguments = tiny_world.arguments("--pace", "lockstep", "--threads", "1+1")
    told = [
        [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
        for lines in (
            lines_of(arguments, tmp_path / "true", dict(os.environ)),
            lines_of(arguments, tmp_path / "lying", lying),
        )
    ]
    assert told[0] == told[1] and any(line["event"] == "adaptation_step" for line in told[0])


@pytest.mark.faults
def test_a_real_live_run_whose_time_of_day_leaps_loses_nothing_to_it(tiny_world, lying, tmp_path) -> None:
    """An hour in any figure, a worker given up or a frame too old would be the wall clock's doing."""
    lines = lines_of(tiny_world.arguments("--pace", "live", "--fps", "4"), tmp_path / "run", lying)
    answered = [line for line in lines if line["event"] == "prediction"]
    dropped = [line for line in lines if line["event"] == "frame_dropped"]
    assert len(answered) + len(dropped) == 12 and answered
    times = [abs(value) for line in lines for key, value in line.items() if key in TIMES and value is not None]
    assert times and max(times) < HOUR_S * 1e3 / 2  # some are in milliseconds
    assert max(abs(line["t_s"]) for line in lines if "t_s" in line) < HOUR_S / 2
    assert not any(line["event"] in ("worker_changed", "fault") for line in lines)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["ended"] == "end" and 0 < summary["wall_s"] < HOUR_S / 2
