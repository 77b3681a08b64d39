"""The run folder, written as the run goes: config.toml, events.jsonl, previews/ and at the end summary.json.

    record = RunRecord(run_dir, config_toml=text, on_fault=report)   # RunFolderExists: never overwrites
    record.observe(event)                                            # every event
    record.close()
    record.write_summary(summary)

Lines are collected and handed to the disk writer, so that prediction never feels a slow disk. A disk that is full or
read-only stops the recording, is reported, and never ends the run. What is lost is counted; once the disk takes lines
again, the first of them is `events_lost` with their number and the reason. A run that goes on in its folder cuts
events.jsonl to the length its checkpoint knows. Checkpoints and report are written elsewhere, the former by the same
disk writer: it works in order, so the events on disk always reach at least to the newest checkpoint.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    writing: "Future[None]"
    num_bytes: int
    has_events: bool


class RunRecord:
    """Observer that owns one run folder. `on_fault` is told, on the observing thread, each time recording stops.

    `events_bytes` is the length from which the record goes on in a folder that is there; None makes a new folder.
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
        self._writes: list[_Write] = []
        self._num_written = 0  # bytes of events.jsonl, the writer's thread alone counts them
        self._lost: dict[str, Any] | None = None  # the writer's too: the line that has to come before any other
        self._fault: str | None = None
        self._is_over = False  # closed, or given up for good
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
        """Why recording stopped, None while it works, and again once it does."""
        return self._fault

    def observe(self, event: Event) -> None:
        """Note one event; none any more once closed."""
        if self._is_over:
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
        self._report()

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
        self._is_over = True

    def flush(self) -> None:
        """Hand what is collected to the disk writer."""
        self._flushed_at_s = self._clock()
        self._collect()
        waiting_mb = sum(write.num_bytes for write in self._writes) / 2**20
        if waiting_mb > MAX_WAITING_MB:
            self._give_up(OSError(f"the disk keeps {waiting_mb:.0f} MiB waiting"))
        if not self._is_over and self._lines:
            content, num_events = ("\n".join(self._lines) + "\n").encode(), len(self._lines)
            writing = self.writer.submit(lambda: self._append(content, num_events))
            self._writes.append(_Write(writing, len(content), has_events=True))
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
        if not self._is_over:
            writing = self.writer.submit(lambda: self._write_moment(moment))
            self._writes.append(_Write(writing, 3 * moment.frame.image_HWC.nbytes, has_events=False))

    def _collect(self) -> None:
        """Look at writes that are done, in order: the newest of events tells whether recording works."""
        while self._writes and self._writes[0].writing.done():
            write = self._writes.pop(0)
            match write.writing.exception():
                case None if write.has_events and not self._is_over:
                    self._fault, self._is_reported = None, False
                case OSError() as error:
                    self._stop(error)
                case BaseException() as error:
                    raise error

    def _give_up(self, error: OSError) -> None:
        self._is_over = True
        self._stop(error)

    def _stop(self, error: OSError) -> None:
        if self._fault is None:
            self._fault = f"--run-dir {self.path}: recording stopped ({error.strerror or error}); the run goes on"

    def _report(self) -> None:
        if self._fault is not None and not self._is_reported:
            self._is_reported = True
            self._on_fault(self._fault)

    def _append(self, content: bytes, num_events: int) -> None:
        """In the writer's thread. What was lost before is told first; nothing follows a line cut short."""
        lost = self._lost
        told = b"" if lost is None else (to_json(lost) + "\n").encode()
        try:
            with (self.path / "events.jsonl").open("ab") as file:
                if lost is not None:
                    file.truncate(self._num_written)
                file.write(told + content)
        except OSError as error:
            first = lost or {"event": "events_lost", "num_events": 0, "reason": error.strerror or str(error)}
            self._lost = first | {"num_events": first["num_events"] + num_events}
            raise
        self._num_written += len(told) + len(content)
        self._lost = None

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
