"""A session: one run from opening the stream to the table at the end.

Builds the parts, puts the observers around them, drives, and leaves a run folder. Every event is dispatched here, in
the calling thread, once to each observer. Scores and report come from packages above and are handed in.
"""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from models.tensorfile import CheckpointInvalid
from runtime.adaptation.methods import METHODS, Entry
from runtime.build import Opener, Parts, Start, build, method_entry
from runtime.build_metrics import build_metrics
from runtime.config import RuntimeConfig
from runtime.config_file import to_toml
from runtime.disk import Patience
from runtime.events import Fault, RunResumed, SnapshotTaken
from runtime.exam import answering
from runtime.first_and_last import Accounts, closing, device_name, opening
from runtime.lanes import settle
from runtime.observer import Event, Observer
from runtime.origin import Origin, find_origin, hold, settled
from runtime.panel import Terminal, open_panel, render_summary
from runtime.recipes import resolved
from runtime.record import RunRecord
from runtime.saving import Saver
from runtime.scorer import Scorer
from runtime.signals import nothing_written, stop_on_signals
from runtime.status import Status
from runtime.summary import SummaryBuilder, describe_environment
from runtime.web.server import WebServer
from streams.stream import open_stream

Finish = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished session leaves: the summary (as in summary.json) and its folder."""

    summary: dict[str, Any]  # JSON
    run_dir: Path


def run_session(
    config: RuntimeConfig,
    *,
    make_scorer: Callable[[tuple[str, ...]], Scorer],
    finish: Finish,
    methods: Mapping[str, Entry] = METHODS,
    open_with: Opener = open_stream,
    release: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run to the end of the stream or to Ctrl-C; `finish` gets the run folder once everything is in it. It may take as
    long as the run was, so it is left out where the end must be quick, and signals end it as they end any process.

    `methods` are those to choose from, `open_with` turns the stream's words into a stream, `release` gives memory back
    once all is built. Raises what `find_origin` and `build` raise, and PortBusy, before anything is written.
    """
    with nothing_written():
        origin = find_origin(config)
        config = resolved(config, method_entry(config, methods).recipe)
        start = Start(origin.next_frame, origin.num_before)
        parts = build(config, open_with=open_with, start=start, methods=methods)
        _take_up(origin, parts)
    session = Session(config, parts, make_scorer(parts.manifest.classes), origin)
    release()
    try:
        with stop_on_signals(session.stop, session.hurry):
            try:
                session.drive()
                session.examine()
            finally:
                summary = session.close()
    finally:
        session.report(finish)
    return Outcome(summary, session.run_dir)


class Session:
    """Observers around the parts of one run. `close` must follow `drive`, also when it raised."""

    def __init__(self, config: RuntimeConfig, parts: Parts, scorer: Scorer, origin: Origin) -> None:
        self.stop = threading.Event()
        self.hurry = threading.Event()  # gone in five seconds, however long the run: SIGTERM, or a failure
        self._config = config
        self._parts = parts
        self._scorer = scorer
        self._status = Status(scores=scorer.scores)
        self._faults = parts.faults
        self._is_dispatching = False
        self._patience = Patience(lambda: self.stop.is_set() or self.hurry.is_set())
        self._metrics = build_metrics(parts, scorer.scores)
        self._web = self._open_web() if config.web.web else None
        self._origin = origin = settled(origin)
        self._held = hold(origin.run_dir)
        self._record = RunRecord(
            origin.run_dir,
            config_toml=to_toml(
                dataclasses.replace(config, run=dataclasses.replace(config.run, run_dir=None, resume=None))
            ),
            scores=scorer.scores,
            on_fault=lambda detail: self._note_fault("record", detail),
            events_bytes=origin.events_bytes,
        )
        self._held = self._held or hold(origin.run_dir)  # a new folder is there only now
        self._console = Terminal(on_fault=lambda detail: self._note_fault("terminal", detail))
        url = self._web.url if self._web else None
        self._panel = open_panel(self._status, console=self._console, url=url, is_quiet=config.run.quiet)
        self._summary = SummaryBuilder(describe_environment(device_name(parts.device)))
        self._saver = Saver(
            self._record,
            observers={"scores": scorer, "summary": self._summary, "record": self._record},
            stream_faults=lambda: parts.stream.faults,
        )
        if origin.checkpoint is not None:
            self._saver.restore(origin.checkpoint)
        self._observers: tuple[Observer, ...] = (
            *(self._saver.position, scorer, self._status, self._metrics),
            *(self._summary, self._record, self._panel),
        )

    @property
    def run_dir(self) -> Path:
        return self._origin.run_dir

    def drive(self) -> None:
        """Run the stream to its end or until `stop` is set; the last event is RunFinished, whatever happens."""
        started_at_s = time.monotonic()
        reason = "error"
        if self._web is not None:
            self._web.start()
        if not self._config.run.quiet:
            for line in (self._parts.report.lines()[0], *self._parts.notes):
                self._say(line)
        try:
            self._open()
            self._parts.driver.run(self.dispatch, self.stop)
            reason = "interrupted" if self.stop.is_set() else "end"
        except BaseException:
            self.hurry.set()
            raise
        finally:
            self._parts.stream.close()
            self._save_last()
            accounts = Accounts(reason, time.monotonic() - started_at_s, self._saver.position.in_flight)
            self.dispatch(closing(self._parts, accounts, stream_faults=self._saver.stream_faults()))

    def dispatch(self, event: Event) -> None:
        """Hand to every observer the faults found since the last event, this one, and what became of checkpoints."""
        while not self._faults.empty():
            self._hand_out(self._faults.get())
        if isinstance(event, SnapshotTaken):
            self._saver.save(event)
        else:
            self._hand_out(event)
        if self._parts.weights.is_retired:
            self._saver.save_again(every_s=self._config.run.checkpoint_every_s)
        for saved in self._saver.finished():
            self._hand_out(saved)

    def _hand_out(self, event: Event) -> None:
        self._is_dispatching = True
        for observer in self._observers:
            observer.observe(event)
        self._is_dispatching = False

    def _save_last(self) -> None:
        """Save where the run ends, unless observers may disagree on where that is: then the checkpoint before holds."""
        if self._is_dispatching:
            return
        self._settle_checkpoint()
        try:
            if self._parts.weights.is_retired:  # a learner that hangs may be at work on its state still
                self._saver.save_again(every_s=0.0)
            else:
                settle(self._parts.device)
                self._saver.save(self._parts.snapshots.take(self._parts.cycle))
        except Exception as error:  # a device that is lost cannot be copied from; the run is to end as it would
            self._note_fault("checkpoint", f"{type(error).__name__}: {error}")
        self._settle_checkpoint()

    def _settle_checkpoint(self) -> None:
        with self._patience.waiting() as patience_s:
            told = list(self._saver.settle(patience_s=patience_s))
        for saved in told:
            self._hand_out(saved)

    def examine(self) -> None:
        """What was forgotten of the source, where that was asked for and the run was not cut short; told to stop, it
        is content with the samples it had.
        """
        parts, held_out = self._parts, self._parts.held_out
        if held_out is None or self.stop.is_set():
            return
        before, after = (
            answering(parts.model, version, parts.device) for version in (parts.weights.source, parts.weights.latest)
        )
        self._scorer.examine(before, after, takewhile(lambda _: not self.stop.is_set(), held_out.frames()))

    def close(self) -> dict[str, Any]:
        """End page, panel and record; write summary and counts, print the table; returns the summary."""
        if self._web is not None:
            self._web.stop()
        self._panel.close()
        with self._patience.waiting() as patience_s:
            self._record.close(patience_s=patience_s)
        if not self._record.is_stuck and (lost := self._parts.keep_library()):
            self._note_fault("library", lost)
        if self._held is not None:
            os.close(self._held)
            self._held = None
        while not self._faults.empty():
            self._hand_out(self._faults.get())
        summary = self._summary.build(self._scorer.scores(), self._scorer.figures())
        if self._record.fault is None:
            self._add(self._scorer.save)
        self._record.write_summary(summary)  # last: who has it has the counts it was made from
        render_summary(summary, self._console, run_dir=None if self._record.fault else self._record.path)
        if self._record.fault is not None:
            self._say(f"the run folder is incomplete: {self._record.fault}")
        return summary

    def report(self, finish: Finish) -> None:
        """Let `finish` have the folder, where there is one and time enough."""
        if self._record.fault is None and not self.hurry.is_set():
            self._add(finish)
        elif self._record.fault is None:
            self._say(f"    report  left out for a quick end; to write it: udaseg-runtime report {self._record.path}")

    def _add(self, finish: Finish) -> None:
        """A full disk costs what is added to the run folder, not the run."""
        try:
            finish(self._record.path)
        except BrokenPipeError:  # nobody reads our output any more: a matter of the terminal
            raise
        except OSError as error:
            self._say(f"the run folder is incomplete: {self._record.path}: {error.strerror or error}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _open(self) -> None:
        """The first events; a run that goes on does so from its checkpoint."""
        self._hand_out(opening(self._config, self._parts, first_frame=self._origin.next_frame))
        if self._origin.is_resumed:
            version = checkpoint.version if (checkpoint := self._origin.checkpoint) else 0
            self.dispatch(RunResumed(self._origin.next_frame, version, time.monotonic(), self._origin.detail))
        self._saver.begin(self._parts.snapshots.take(self._parts.cycle))

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


def _take_up(origin: Origin, parts: Parts) -> None:
    """Give the parts what the checkpoint holds; CheckpointInvalid where it is of other parts than these."""
    if origin.checkpoint is None:
        return
    try:
        parts.snapshots.restore(parts.cycle, origin.checkpoint.state)
        settle(parts.device)
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointInvalid(
            f"--resume {origin.run_dir}: its checkpoint does not fit ({error}); give --checkpoint the source model it "
            "was begun with"
        ) from error
