"""Cells: whole runs through the front door, each in a process of its own, found again when they are there already.

    run_dirs = run_cells(cells, folder, jobs=2)

A cell is a complete configuration. Its folder carries a fingerprint of the configuration and of the checkpoint's
bytes, so a cell that was run under other settings is never mistaken for it. Code is not part of the fingerprint: a
digest of it is kept in the folder and shown, and where it is not the digest of the code at hand, readers are told.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from torch import OutOfMemoryError

from benchmarks.conditions import ROOT, code_digest
from evaluation.run_folder import NOTE_FILE, code_of, read_summary
from models.tensorfile import CheckpointInvalid
from runtime.config import RuntimeConfig
from runtime.config_file import to_toml
from runtime.option_words import ConfigError
from runtime.source_model import find_source
from streams.protocol import StreamNotOpened

# The first argument is the list of cores the run may use, as a user would give them with taskset.
PROGRAM = """
import os, sys
cores = sys.argv.pop(1)
if cores:
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
from benchmarks.cli import main
main()
"""
FAILURES: dict[int, type[Exception]] = {
    2: ConfigError,
    3: StreamNotOpened,
    4: CheckpointInvalid,
    5: OutOfMemoryError,  # the usual way of losing a device; another way has its own words, and the same exit code
}
STOPPED = (0, 130)  # exit codes of runs that were told to end: once, and twice
UNFINISHED = ".unfinished"  # folder of runs that are still going or were cut short


class CellFailed(RuntimeError):
    """A run ended otherwise than it should; the message says where its log is."""


class CellStopped(KeyboardInterrupt):
    """Somebody ended a run before its stream did. Finished runs are there still."""


@dataclass(frozen=True, slots=True)
class Cell:
    """`name` is for people and unique in a folder; `config` has no run folder yet."""

    name: str
    config: RuntimeConfig

    def folder_name(self) -> str:
        """The name with eight hexadecimal digits of what determines the run."""
        content = self.weights_digest() + to_toml(self.config)
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    def weights_digest(self) -> str:
        """Twelve hexadecimal digits of the checkpoint's bytes; ConfigError or CheckpointInvalid where there is none."""
        return hashlib.sha256(find_source(self.config.model).read_bytes()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Launch:
    """How processes run: `threads` of OpenMP (None: their own choice) on `cores` (none: all)."""

    threads: int | None = 1
    cores: tuple[int, ...] = ()

    def command(self, settings: Path) -> list[str]:
        """The words that start a run configured by the TOML file `settings`."""
        cores = ",".join(str(core) for core in self.cores)
        return [sys.executable, "-c", PROGRAM, cores, "run", "--config", str(settings)]

    def environment(self) -> dict[str, str]:
        """This process's, with our packages found first and the number of threads set."""
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        found = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        return environment | {"PYTHONPATH": os.pathsep.join(found)}


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    *,
    jobs: int,
    launch: Launch,
    report: Callable[[str], None] = print,
) -> list[Path]:
    """A finished run folder for each cell, in order; at most `jobs` processes at a time.

    Raises what a failed run stands for (see FAILURES), after the runs in progress have ended; CellStopped where one was
    told to end.
    """
    run_dirs = [folder / cell.folder_name() for cell in cells]
    missing = [(cell, run_dir) for cell, run_dir in zip(cells, run_dirs, strict=True) if not is_finished(run_dir)]
    if found := [run_dir for run_dir in run_dirs if is_finished(run_dir)]:
        note = f"; {said} Another --out starts anew." if (said := code_note(found)) else ""
        report(f"{len(found)} of {len(cells)} runs are there already, in {folder}{note}")
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running = {pool.submit(run_cell, cell, run_dir, launch=launch): cell for cell, run_dir in missing}
        try:
            for number, done in enumerate(as_completed(running), start=1):
                report(f"[{number}/{len(missing)}] {running[done].name}: {done.result():.0f} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return run_dirs


def run_cell(cell: Cell, run_dir: Path, *, launch: Launch) -> float:
    """Run one cell into `run_dir`, which appears when it is complete; returns the seconds it took."""
    partial = run_dir.parent / UNFINISHED / run_dir.name  # under its own name, which its report shows
    shutil.rmtree(partial, ignore_errors=True)  # what an interrupted run of this very cell left
    partial.parent.mkdir(parents=True, exist_ok=True)
    config = dataclasses.replace(cell.config, run=dataclasses.replace(cell.config.run, run_dir=partial))
    settings, log = run_dir.with_name(f"{run_dir.name}.toml"), run_dir.with_name(f"{run_dir.name}.log")
    settings.write_text(to_toml(config), encoding="utf-8")
    code, started_s = code_digest(), time.monotonic()
    with log.open("wb") as output:
        done = subprocess.run(
            launch.command(settings),
            env=launch.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    wall_s = time.monotonic() - started_s
    if done.returncode != 0 or not is_finished(partial):
        raise failure(done.returncode, cell, log)
    (partial / NOTE_FILE).write_text(json.dumps({"code": code, "wall_s": wall_s}) + "\n", encoding="utf-8")
    partial.rename(run_dir)
    settings.unlink()
    log.unlink()
    return wall_s


def is_finished(run_dir: Path) -> bool:
    """True where a run went to the end of its stream."""
    summary = read_summary(run_dir)
    return summary is not None and summary.get("ended") == "end"


def codes_of(run_dirs: Sequence[Path]) -> list[str]:
    """Digests of the code the cells were run with, each once; more than one means figures of different code."""
    return sorted({code for run_dir in run_dirs if (code := code_of(run_dir)) is not None})


def code_note(run_dirs: Sequence[Path]) -> str:
    """What readers of their figures must know: how many runs were made with other code than is here now, and with
    which; empty where none was.
    """
    here = code_digest()
    others = [code for run_dir in run_dirs if (code := code_of(run_dir) or "unknown") != here]
    if not others:
        return ""
    named = ", ".join(sorted(set(others)))
    return f"{len(others)} of {len(run_dirs)} runs were made with other code ({named}) than is here ({here})."


def plain_name(words: str) -> str:
    """`words` as a name for files: what no file system minds."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", words)


def failure(code: int, cell: Cell, log: Path) -> BaseException:
    """What the exit code of a run that did not reach its end stands for, with its last line."""
    if code in STOPPED or code < 0:
        how = f"by {signal.Signals(-code).name}" if code < 0 else "before its stream did"
        return CellStopped(f"{cell.name} was ended {how}; the same command goes on with the runs that are missing")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1].removeprefix("udaseg-runtime: ") if lines else "it printed nothing"
    if code in FAILURES:
        return FAILURES[code](last)
    return CellFailed(f"{cell.name} ended with exit code {code}: {last}; see {log}")
