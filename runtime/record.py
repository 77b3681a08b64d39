"""The run folder, written as the run goes: config.toml, events.jsonl, previews/ and at the end summary.json.

    record = RunRecord(run_dir, config_toml=text, on_fault=report)   # RunFolderExists: never overwrites
    record.observe(event)                                            # every event
    record.close()
    record.write_summary(summary)

Lines are collected and handed to the disk writer, so that prediction never feels a slow disk. A disk that is full or
read-only ends the recording, is reported once, and never ends the run. A run that goes on in its folder cuts
events.jsonl to the length its checkpoint knows. Checkpoints and report are written elsewhere, the former by the same
disk writer: it works in order, so the events on disk always reach at least to the newest checkpoint.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any  # JSON

from models.tensorfile import write_atomically
from runtime import events
from runtime.disk import PATIENCE_S, DiskWriter
from runtime.json_values import to_json
from runtime.lines import event_line
from runtime.moments import MomentKeeper, VisitMoment, pictures
from runtime.observer import Event
from runtime.scores import POINTS, ScoresSource, no_scores
from runtime.state import State

FLUSH_S = 1.0
FLUSH_LINES = 500
MAX_WAITING_MB = 16.0  # events and pictures a stuck disk may hold back before recording gives up: half an hour's
SCORES_EVERY = 5  # predictions between two lines that carry scores


class RunFolderExists(ValueError):
    """The run folder is there already; the message is one line with option, value and remedy. Exit code 2."""


class RunRecord:
    """Observer that owns one run folder. `on_fault` is told, on the observing thread, once, that recording ended.

    `events_bytes` is the length from which the record of an earlier process goes on; None begins a new folder.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        config_toml: str,
        scores: ScoresSource = no_scores,
        on_fault: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        events_bytes: int | None = None,
    ) -> None:
        self.path = run_dir
        self.writer = DiskWriter()
        self._scores = scores
        self._on_fault = on_fault
        self._clock = clock
        self._lines: list[str] = []
        self._flushed_at_s = self._started_at_s = clock()
        self._num_predictions = 0
        self._moments = MomentKeeper()
        self._writes: list[tuple[Future[None], int]] = []
        self._num_written = 0  # bytes of events.jsonl, the writer's thread alone counts them
        self._has_failed = False  # the writer's thread: nothing more may follow a line cut short
        self._fault: str | None = None
        self._is_reported = False
        self._is_stuck = False
        self._is_continued = bool(events_bytes)
        try:
            if events_bytes is None:
                _create(run_dir)
            else:
                self._num_written = _cut(run_dir / "events.jsonl", events_bytes)
            write_atomically(run_dir / "config.toml", config_toml.encode())
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
        is_told = self._is_continued and isinstance(event, events.RunStarted)  # by the process that began the run
        line = None if is_told else event_line(event, started_at_s=self._started_at_s)
        if line is not None:
            if isinstance(event, events.Prediction):
                line.update(self._recent_scores())
            self._lines.append(to_json(line))
        if (moment := self._moments.take(event)) is not None:
            self._submit_moment(moment)
        is_due = self._clock() - self._flushed_at_s >= FLUSH_S or len(self._lines) >= FLUSH_LINES
        if is_due or isinstance(event, events.RunFinished):
            self.flush()

    @property
    def is_stuck(self) -> bool:
        """Whether the disk did not answer in time as the record was closed: who writes to it now may never return."""
        return self._is_stuck

    def close(self, *, patience_s: float = PATIENCE_S) -> None:
        """Write what is left and end the disk writer; may be called twice."""
        if (moment := self._moments.leave()) is not None:
            self._submit_moment(moment)
        self.flush()
        if not self.writer.close(patience_s=patience_s):
            self._is_stuck = True
            self._give_up(OSError("the disk does not answer, what it still owed was left"))
        self._collect()
        self._report()

    def flush(self) -> None:
        """Hand what is collected to the disk writer."""
        self._flushed_at_s = self._clock()
        self._collect()
        waiting_mb = sum(num_bytes for _, num_bytes in self._writes) / 2**20
        if waiting_mb > MAX_WAITING_MB:
            self._give_up(OSError(f"the disk keeps {waiting_mb:.0f} MiB waiting"))
        if self._fault is None and self._lines:
            content = ("\n".join(self._lines) + "\n").encode()
            self._submit(lambda: self._append(content), len(content))
        self._lines = []

    def sync(self) -> int:
        """Make the events written so far durable; their length in bytes. For the disk writer's thread; OSError."""
        if self._num_written:
            descriptor = os.open(self.path / "events.jsonl", os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return self._num_written

    def state(self) -> State:
        """How long the run has gone on, and which pictures are kept; the lines themselves are in the folder."""
        return {
            "run_s": self._clock() - self._started_at_s,
            "num_predictions": self._num_predictions,
            "moments": self._moments.state(),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`: times of lines go on where they stopped."""
        match state:
            case {"run_s": float(run_s), "num_predictions": int(num_predictions), "moments": dict(moments)}:
                self._started_at_s = self._clock() - run_s
                self._num_predictions = num_predictions
                self._moments.load_state(moments)
            case _:
                raise ValueError(f"not the state of a record: it has the keys {sorted(state)}")

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`, whole or not at all; a failure is reported like any other. Not where it is stuck."""
        if self._is_stuck:
            return
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
            self._submit(lambda: self._write_moment(moment), 3 * moment.frame.image_HWC.nbytes)

    def _submit(self, job: Callable[[], None], num_bytes: int) -> None:
        self._writes.append((self.writer.submit(job), num_bytes))

    def _collect(self) -> None:
        """Look at writes that are done, for errors."""
        done = [write for write, _ in self._writes if write.done()]
        self._writes = [entry for entry in self._writes if not entry[0].done()]
        for error in (write.exception() for write in done):
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

    def _append(self, content: bytes) -> None:
        if self._has_failed:
            return
        try:
            with (self.path / "events.jsonl").open("ab") as file:
                file.write(content)
        except OSError:
            self._has_failed = True
            raise
        self._num_written += len(content)

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


def _create(run_dir: Path) -> None:
    run_dir.mkdir(parents=True)
    (run_dir / "previews").mkdir()


def _cut(path: Path, num_bytes: int) -> int:
    """Cut the record of events to the length a checkpoint knows; the length it has now, less where lines were lost."""
    (path.parent / "previews").mkdir(exist_ok=True)
    with path.open("ab") as file:
        length = min(num_bytes, file.tell())
        file.truncate(length)
    return length
