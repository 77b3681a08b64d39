"""A session: one run from opening the stream to the table at the end.

Builds the parts, puts the observers around them, drives, and leaves a run folder. Every event is dispatched here, in
the calling thread, once to each observer. Scores and report come from packages above and are handed in.
"""

import dataclasses
import os
import platform
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from rich.console import Console

from models.trainable import frozen_digest
from runtime.build import Parts, build
from runtime.checkpoints import VersionArchive
from runtime.config import RuntimeConfig, to_toml
from runtime.events import (
    CheckpointSaved,
    Event,
    Fault,
    FrameCaptured,
    FrameDropped,
    Observer,
    Prediction,
    RunFinished,
    RunStarted,
)
from runtime.metrics import Metrics, new_registry
from runtime.panel import open_panel, render_summary
from runtime.record import RunRecord, refuse_existing
from runtime.scores import Scores
from runtime.status import Status
from runtime.summary import SummaryBuilder, describe_environment
from runtime.web.server import WebServer

EXIT_INTERRUPTED = 130
MAX_NAME = 80  # characters of a stream in the name of a run folder; file systems allow 255 in all


class Scorer(Observer, Protocol):
    """Compares predictions with labels; lives above this package."""

    def scores(self) -> Scores | None: ...


Finish = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished session leaves: the summary (as in summary.json) and its folder."""

    summary: dict[str, Any]  # JSON
    run_dir: Path


def run_session(config: RuntimeConfig, *, make_scorer: Callable[[tuple[str, ...]], Scorer], finish: Finish) -> Outcome:
    """Run to the end of the stream or to Ctrl-C; `finish` gets the run folder once everything is in it.

    Raises what `build` raises, PortBusy and RunFolderExists before anything is written.
    """
    run_dir = config.run.run_dir or default_run_dir(config)
    refuse_existing(run_dir)
    parts = build(config)
    session = Session(config, parts, make_scorer(parts.manifest.classes), run_dir)
    with stop_on_signals(session.stop):
        try:
            session.drive()
        finally:
            summary = session.close(finish)
    return Outcome(summary, run_dir)


class Session:
    """Observers around the parts of one run. `close` must follow `drive`, also when it raised."""

    def __init__(self, config: RuntimeConfig, parts: Parts, scorer: Scorer, run_dir: Path) -> None:
        self.stop = threading.Event()
        self._config = config
        self._parts = parts
        self._scorer = scorer
        self._status = Status(scores=scorer.scores)
        self._faults = parts.faults
        self._tally = Tally()
        self._metrics = self._build_metrics()
        self._web = self._open_web() if config.web.web else None
        self._record = RunRecord(
            run_dir,
            config_toml=to_toml(dataclasses.replace(config, run=dataclasses.replace(config.run, run_dir=None))),
            scores=scorer.scores,
            on_fault=lambda detail: self._note_fault("record", detail),
        )
        self._archive = VersionArchive(
            run_dir / "checkpoints", parts.weights, every_s=config.run.checkpoint_every_s, clock=time.monotonic
        )
        self._console = Terminal()
        url = self._web.url if self._web else None
        self._panel = open_panel(self._status, console=self._console, url=url, is_quiet=config.run.quiet)
        self._summary = SummaryBuilder(describe_environment(_device_name(parts.device)))
        self._observers: tuple[Observer, ...] = (
            *(self._tally, scorer, self._status, self._metrics),
            *(self._summary, self._record, self._panel),
        )

    def drive(self) -> None:
        """Run the stream to its end or until `stop` is set; the last event is RunFinished, whatever happens."""
        started_at_s = time.monotonic()
        reason = "error"
        if self._web is not None:
            self._web.start()
        if not self._config.run.quiet:
            self._console.print(self._parts.report.lines()[0], highlight=False)
        try:
            self.dispatch(self._opening())
            self._parts.driver.run(self.dispatch, self.stop)
            reason = "interrupted" if self.stop.is_set() else "end"
        finally:
            self._parts.stream.close()
            self._save(self._archive.save())
            self.dispatch(self._closing(reason, time.monotonic() - started_at_s))

    def dispatch(self, event: Event) -> None:
        """Hand one event to every observer, then the faults they found, then save what is due."""
        for observer in self._observers:
            observer.observe(event)
        self._dispatch_faults()
        if isinstance(event, Prediction):
            self._save(self._archive.save_if_due())

    def close(self, finish: Finish) -> dict[str, Any]:
        """End page, panel and record; write summary and report, print the table; returns the summary."""
        if self._web is not None:
            self._web.stop()
        self._panel.close()
        self._record.close()
        self._dispatch_faults()
        summary = self._summary.build(self._scorer.scores())
        self._record.write_summary(summary)
        render_summary(summary, self._console, run_dir=None if self._record.fault else self._record.path)
        if self._record.fault is None:
            self._finish(finish)
        else:
            self._console.print(f"the run folder is incomplete: {self._record.fault}", markup=False)
        return summary

    def _finish(self, finish: Finish) -> None:
        """A full disk costs the report, not the run."""
        try:
            finish(self._record.path)
        except BrokenPipeError:  # nobody reads our output any more: a matter of the terminal
            raise
        except OSError as error:
            lost = f"the run folder is incomplete: {self._record.path}: {error.strerror or error}"
            self._console.print(lost, markup=False)

    def _dispatch_faults(self) -> None:
        while not self._faults.empty():
            fault = self._faults.get()
            for observer in self._observers:
                observer.observe(fault)

    def _opening(self) -> RunStarted:
        parts, config = self._parts, self._config
        return RunStarted(
            stream=parts.stream.name,
            method=config.adaptation.method,
            model=parts.manifest.model,
            device=str(parts.device),
            seed=config.run.seed,
            pace=config.run.pace,
            size_HW=parts.size_HW,
            stream_fps=parts.stream.fps,
            num_frames=parts.stream.num_frames,
            classes=parts.manifest.classes,
            trainable_parameters=parts.report.trainable if config.adaptation.method != "frozen" else 0,
            total_parameters=parts.report.total,
            frozen_digest=frozen_digest(parts.model),
        )

    def _closing(self, reason: str, wall_s: float) -> RunFinished:
        is_cuda = self._parts.device.type == "cuda"
        return RunFinished(
            reason=reason,
            wall_s=wall_s,
            in_flight=self._tally.in_flight,
            frozen_digest=frozen_digest(self._parts.model),
            peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            peak_device_mb=torch.cuda.max_memory_allocated() / 2**20 if is_cuda else 0.0,
            replay_mb=self._parts.replay.statistics().num_bytes / 2**20,
            stream_faults=dict(self._parts.stream.faults),
        )

    def _build_metrics(self) -> Metrics:
        parts = self._parts
        environment = describe_environment(_device_name(parts.device))
        metrics = Metrics(
            new_registry(),
            stream=parts.stream.name,
            classes=parts.manifest.classes,
            scores=self._scorer.scores,
            build={"version": environment["package_version"], "torch": environment["torch"]},
        )
        metrics.watch_replay(lambda: parts.replay.statistics().num_bytes)
        for name, depth in parts.driver.queue_depths().items():
            metrics.watch_queue(name, depth)
        for component, silence_s in parts.driver.silences().items():
            metrics.watch_worker(component, silence_s)
        return metrics

    def _open_web(self) -> WebServer:
        return WebServer(
            self._status,
            exposition=self._metrics.exposition,
            port=self._config.web.port,
            on_fault=lambda detail: self._note_fault("web", detail),
        )

    def _note_fault(self, component: str, detail: str) -> None:
        """Any thread; dispatched with the next event."""
        self._faults.put(Fault(component=component, detail=detail, at_s=time.monotonic()))

    def _save(self, saved: CheckpointSaved | None) -> None:
        if saved is not None:
            for observer in self._observers:
                observer.observe(saved)


class Terminal(Console):
    """A console that says so when nobody reads it any more, as in `| head`; rich's own would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Called while a BrokenPipeError is handled; the front door ends the run for it."""
        raise BrokenPipeError("nobody reads the output any more")


class Tally:
    """Counts frames in flight: captured, and neither predicted nor dropped yet."""

    def __init__(self) -> None:
        self.in_flight = 0

    def observe(self, event: Event) -> None:
        match event:
            case FrameCaptured():
                self.in_flight += 1
            case Prediction() | FrameDropped():
                self.in_flight -= 1


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """First SIGINT or SIGTERM sets `stop`, a second SIGINT ends the process at once with 130."""

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may hear signals
        yield
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def default_run_dir(config: RuntimeConfig) -> Path:
    """runs/<UTC time>-<stream>-<method>, with what a file name cannot carry replaced."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    stream = re.sub(r"[^A-Za-z0-9._-]+", "_", config.stream.stream)[-MAX_NAME:].strip("_") or "stream"
    return Path("runs") / f"{stamp}-{stream}-{config.adaptation.method}"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
