"""A run in a process of its own, watched from outside: memory, threads, descriptors, and what its port answers.

    with watched_run(cell, run_dir, launch=launch) as process:
        sample = take_sample(process.pid, at_s=time.monotonic() - started_s)
        series = ask_all(read_url(...))

What is read is the kernel's view of the process (/proc), which no allocator can flatter, and pages fetched as a viewer
and a scraper fetch them.
"""

import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cells import Cell, Launch
from runtime.config_file import to_toml

PAGES = ("", "page.js", "statusz", "preview/image.jpg", "preview/adapted.jpg", "livez")
ANSWER_S = 10.0
START_S = 180.0  # to load the model, fill the replay buffer and calibrate, on a busy machine
END_S = 60.0
KB_PER_MB = 1024.0
NAMED = re.compile(r"http://127\.0\.0\.1:\d+/")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: `rss_mb` resident in all, `anonymous_mb` of it not backed by files."""

    at_s: float
    rss_mb: float
    anonymous_mb: float
    threads: int
    descriptors: int


@contextmanager
def watched_run(cell: Cell, run_dir: Path, *, launch: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """The run's process; output goes to `RUN_DIR.log`. It is killed if it still lives when the block is left."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    config = replace(cell.config, run=replace(cell.config.run, run_dir=run_dir))
    settings = run_dir.with_name(f"{run_dir.name}.toml")
    settings.write_text(to_toml(config), encoding="utf-8")
    with log_of(run_dir).open("wb") as output:
        process = subprocess.Popen(
            launch.command(settings),
            env=launch.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def log_of(run_dir: Path) -> Path:
    """Where a watched run prints to."""
    return run_dir.with_name(f"{run_dir.name}.log")


def await_url(process: subprocess.Popen[bytes], log: Path) -> str | None:
    """The address of the run's page, as soon as it is printed; None where the run ended or took too long."""
    give_up_s = time.monotonic() + START_S
    while time.monotonic() < give_up_s and process.poll() is None:
        found = NAMED.search(log.read_text(encoding="utf-8", errors="replace"))
        if found is not None:
            return found[0]
        time.sleep(0.1)
    return None


def take_sample(pid: int, *, at_s: float) -> Sample:
    """What /proc says of a process now; OSError once it is gone."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return Sample(
        at_s=at_s,
        rss_mb=int(fields["VmRSS"][0]) / KB_PER_MB,
        anonymous_mb=int(fields["RssAnon"][0]) / KB_PER_MB,
        threads=int(fields["Threads"][0]),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
    )


def ask_all(url: str) -> int:
    """Fetch every page as a viewer would, then /metrics; returns the number of time series that holds."""
    for page in PAGES:
        _fetch(url + page)
    lines = _fetch(url + "metrics").decode().splitlines()
    return len({line.rpartition(" ")[0] for line in lines if line and not line.startswith("#")})


def _fetch(url: str) -> bytes:
    """The body, also of a refusal: a probe that says no, or a picture that is not there yet, is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            body = refusal.read()
    return body
