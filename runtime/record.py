"""The run folder, written as the run goes: config.toml, events.jsonl, previews/ and at the end summary.json.

    record = RunRecord(run_dir, config_toml=text, on_fault=report)   # RunFolderExists: never overwrites
    record.observe(event)                                            # every event
    record.close()
    record.write_summary(summary)

Lines are collected and handed to one writing thread, so that prediction never feels a slow disk. A disk that is full
or read-only ends the recording, is reported once, and never ends the run. Checkpoints and report are written elsewhere.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any  # JSON

from models.tensorfile import write_atomically
from runtime import events
from runtime.events import Event
from runtime.json_values import to_json
from runtime.lines import event_line
from runtime.moments import MomentKeeper, VisitMoment, pictures
from runtime.scores import POINTS, ScoresSource, no_scores

FLUSH_S = 1.0
FLUSH_LINES = 500
MAX_WAITING_WRITES = 20  # seconds of events a stuck disk may hold back before recording gives up
SCORES_EVERY = 5  # predictions between two lines that carry scores


class RunFolderExists(ValueError):
    """The run folder is there already; the message is one line with option, value and remedy. Exit code 2."""


class RunRecord:
    """Observer that owns one run folder. `on_fault` is told, on the observing thread, once, that recording ended."""

    def __init__(
        self,
        run_dir: Path,
        *,
        config_toml: str,
        scores: ScoresSource = no_scores,
        on_fault: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = run_dir
        self._scores = scores
        self._on_fault = on_fault
        self._clock = clock
        self._lines: list[str] = []
        self._flushed_at_s = self._started_at_s = clock()
        self._num_predictions = 0
        self._moments = MomentKeeper()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record")
        self._writes: list[Future[None]] = []
        self._fault: str | None = None
        self._is_reported = False
        try:
            run_dir.mkdir(parents=True)
            (run_dir / "previews").mkdir()
            (run_dir / "config.toml").write_text(config_toml, encoding="utf-8")
        except FileExistsError as error:
            raise _exists(run_dir) from error
        except OSError as error:
            self._give_up(error)

    @property
    def fault(self) -> str | None:
        """Why recording ended early, None while it works."""
        return self._fault

    def observe(self, event: Event) -> None:
        """Note one event."""
        if self._fault is not None:
            self._report()
            return
        line = event_line(event, started_at_s=self._started_at_s)
        if line is not None:
            if isinstance(event, events.Prediction):
                line.update(self._recent_scores())
            self._lines.append(to_json(line))
        if (moment := self._moments.take(event)) is not None:
            self._submit_moment(moment)
        is_due = self._clock() - self._flushed_at_s >= FLUSH_S or len(self._lines) >= FLUSH_LINES
        if is_due or isinstance(event, events.RunFinished):
            self._flush()

    def close(self) -> None:
        """Write what is left and end the writing thread; may be called twice."""
        if (moment := self._moments.leave()) is not None:
            self._submit_moment(moment)
        self._flush()
        self._writer.shutdown(wait=True)
        self._collect()
        self._report()

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`, whole or not at all; a failure is reported like any other."""
        try:
            write_atomically(self.path / "summary.json", (to_json(summary, indent=1) + "\n").encode())
        except OSError as error:
            self._give_up(error)
            self._report()

    def _recent_scores(self) -> dict[str, float]:
        self._num_predictions += 1
        if self._num_predictions % SCORES_EVERY:
            return {}
        scores = self._scores()
        if scores is None:
            return {}
        return {
            "miou_recent": round(scores.recent_miou * POINTS, 3),
            "miou_frozen_recent": round(scores.recent_miou_frozen * POINTS, 3),
        }

    def _submit_moment(self, moment: VisitMoment) -> None:
        if self._fault is None:
            self._writes.append(self._writer.submit(self._write_moment, moment))

    def _flush(self) -> None:
        self._flushed_at_s = self._clock()
        self._collect()
        if self._fault is None and len(self._writes) > MAX_WAITING_WRITES:
            self._give_up(OSError(f"the disk keeps {len(self._writes)} writes waiting"))
        if self._fault is None and self._lines:
            self._writes.append(self._writer.submit(self._write_lines, self._lines))
        self._lines = []

    def _collect(self) -> None:
        """Look at writes that are done, for errors."""
        for write in [write for write in self._writes if write.done()]:
            self._writes.remove(write)
            error = write.exception()
            if isinstance(error, OSError):
                self._give_up(error)
            elif error is not None:
                raise error

    def _give_up(self, error: OSError) -> None:
        if self._fault is None:
            self._fault = f"--run-dir {self.path}: recording stopped ({error.strerror or error}); the run goes on"

    def _report(self) -> None:
        if self._fault is not None and not self._is_reported:
            self._is_reported = True
            self._on_fault(self._fault)

    def _write_lines(self, lines: list[str]) -> None:
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def _write_moment(self, moment: VisitMoment) -> None:
        for name, data in pictures(moment):
            (self.path / "previews" / name).write_bytes(data)


def refuse_existing(run_dir: Path) -> None:
    """RunFolderExists when there is something at `run_dir` already; asked before anything slow is built."""
    if os.path.exists(run_dir):  # False, not an error, below a folder that may not be read
        raise _exists(run_dir)


def _exists(run_dir: Path) -> RunFolderExists:
    return RunFolderExists(
        f"--run-dir {run_dir}: exists already; expected a folder that does not, give another name or remove it"
    )
