"""Saving: what a run needs to go on, from a snapshot and what the observers know, to a checkpoint on disk.

    saver = Saver(record, observers={"scores": scores, "record": record}, stream_faults=lambda: stream.faults)
    saver.position.observe(event)               # where in the stream the run stands
    saver.save(snapshot)                        # returns at once; the disk writer does the rest
    for saved in saver.finished(): ...          # outcomes, as events

Called by the thread that dispatches events, so a snapshot meets observers that have seen exactly the events before it.
A disk that is slower than the interval costs checkpoints, one that is full or read-only too, and neither costs the run.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from models.tensorfile import CheckpointInvalid
from runtime.checkpoints import Checkpoint, drop_newer, version_of, write_checkpoint
from runtime.disk import PATIENCE_S
from runtime.events import CheckpointSaved, FrameCaptured, FrameDropped, Prediction, SnapshotTaken
from runtime.observer import Event
from runtime.record import RunRecord
from runtime.state import State, restore, state_of
from streams.frame import Frame


class Position:
    """Observer that knows where in the stream a run stands.

    `next_frame` is the oldest frame without an outcome, or follows the newest one: a run that goes on there meets no
    frame again that was predicted or dropped, unless an older one was still in flight. What is dropped as the process
    ends is met again, or a run that loses no frame would have lost it.
    """

    def __init__(self) -> None:
        self.next_frame = 0
        self.num_before = 0  # frames captured before `next_frame`; a run that goes on does not capture them again
        self._num_captured = 0
        self._newest = -1
        self._order: dict[int, int] = {}  # of frames in flight, by index: the first captured is 1

    @property
    def in_flight(self) -> int:
        """Frames captured, and neither predicted nor dropped yet."""
        return len(self._order)

    def go_on(self, next_frame: int, num_before: int) -> None:
        """Stand where an earlier process stood."""
        self.next_frame, self._newest = next_frame, next_frame - 1
        self.num_before = self._num_captured = num_before

    def observe(self, event: Event) -> None:
        match event:
            case FrameCaptured(index=index):
                self._num_captured += 1
                self._newest = max(self._newest, index)
                self._order[index] = self._num_captured
            case FrameDropped(index=index, reason="shutdown"):  # the newest of all, as capture has ended
                self._order.pop(index, None)
                self._num_captured -= 1
                self._newest = min(self._newest, index - 1)
            case FrameDropped(index=index) | Prediction(frame=Frame(index=index)):
                self._order.pop(index, None)
                self.next_frame = min(self._order, default=self._newest + 1)
                self.num_before = self._order.get(self.next_frame, self._num_captured + 1) - 1


@dataclass(frozen=True, slots=True, eq=False)
class _Writing:
    checkpoint: CheckpointSaved  # as it will be where nothing goes wrong
    started_at_s: float
    duration_s: "Future[float]"


class Saver:
    """One owner. At most one checkpoint is on its way to the disk; `observers` that keep a state are saved by name."""

    def __init__(
        self,
        record: RunRecord,
        *,
        observers: Mapping[str, object],
        stream_faults: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.position = Position()
        self._record = record
        self._observers = dict(observers)
        self._stream_faults = stream_faults
        self._earlier_faults: Counter[str] = Counter()
        self._clock = clock
        self._saved = (-1, -1)  # frame and version of the newest checkpoint
        self._serial = 0
        self._tried_at_s = clock()
        self._writing: _Writing | None = None
        self._newest: SnapshotTaken | None = None
        self._skipped: list[CheckpointSaved] = []

    def stream_faults(self) -> Mapping[str, int]:
        """Unusable items of the stream by reason, over the whole run."""
        return self._earlier_faults + Counter(self._stream_faults())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Give the observers what they knew; CheckpointInvalid where the state is not one of theirs."""
        try:
            match checkpoint.state:
                case {"observers": dict(observers), "stream": {"num_before": int(num_before), "faults": dict(faults)}}:
                    for name, observer in self._observers.items():
                        restore(observer, cast(State, observers[name]))
                    self._earlier_faults = Counter(cast(dict[str, int], faults))
                case _:
                    raise ValueError("the state holds no observers")
        except (ValueError, KeyError) as error:
            raise CheckpointInvalid(
                f"--resume {self._record.path}: its checkpoint is not of this version ({error}); begin a new run"
            ) from error
        self.position.go_on(checkpoint.next_frame, num_before)
        self._saved, self._serial = (checkpoint.next_frame, checkpoint.version), checkpoint.serial
        self._record.writer.submit(lambda: drop_newer(self._folder, checkpoint))

    def begin(self, snapshot: SnapshotTaken) -> None:
        """What there is to save should learning hang before it gives a first snapshot."""
        self._newest = snapshot

    def save_again(self, *, every_s: float) -> None:
        """The newest snapshot with what is known now, `every_s` after the last: when learning will give no other."""
        if self._newest is not None and self._clock() - self._tried_at_s >= every_s:
            self.save(self._newest)

    def save(self, snapshot: SnapshotTaken) -> None:
        """Hand the snapshot to the disk writer, behind all events so far; `finished` tells what became of it."""
        self._newest, self._tried_at_s = snapshot, self._clock()
        next_frame, version = self.position.next_frame, version_of(snapshot.state)
        if (next_frame, version) == self._saved:
            return
        if self._writing is not None and not self._writing.duration_s.done():
            waited_s = self._clock() - self._writing.started_at_s
            slow = f"left out: the disk is slow, the checkpoint begun {waited_s:.1f} s ago is not written yet"
            self._skipped.append(CheckpointSaved(version, slow, self._clock(), next_frame))
            return
        self._record.flush()
        state = snapshot.state | {
            "observers": {name: state_of(observer) for name, observer in self._observers.items()},
            "stream": {"num_before": self.position.num_before, "faults": dict(self.stream_faults())},
        }
        self._serial += 1
        saved = CheckpointSaved(version, "", self._clock(), next_frame)
        job = self._record.writer.submit(partial(self._write, next_frame, self._serial, state))
        self._writing = _Writing(saved, self._clock(), job)
        self._saved = (next_frame, version)

    def finished(self) -> Iterator[CheckpointSaved]:
        """What became of the checkpoints since the last call."""
        skipped, self._skipped = self._skipped, []
        yield from skipped
        writing = self._writing
        if writing is None or not writing.duration_s.done():
            return
        self._writing = None
        failure = writing.duration_s.exception()
        if failure is None:
            yield replace(writing.checkpoint, at_s=self._clock(), duration_s=writing.duration_s.result())
        else:
            self._saved = (-1, -1)
            why = failure.strerror if isinstance(failure, OSError) else f"{type(failure).__name__}: {failure}"
            yield replace(writing.checkpoint, at_s=self._clock(), error=f"{why or failure}: {self._folder}")

    def settle(self, *, patience_s: float = PATIENCE_S) -> Iterator[CheckpointSaved]:
        """Wait for the checkpoint on its way, if any, and tell what became of it."""
        if self._writing is not None:
            wait([self._writing.duration_s], timeout=patience_s)
        yield from self.finished()

    @property
    def _folder(self) -> Path:
        return self._record.path / "checkpoints"

    def _write(self, next_frame: int, serial: int, state: State) -> float:
        """In the disk writer's thread; the time it took."""
        started_at_s = self._clock()
        write_checkpoint(self._folder, Checkpoint(next_frame, serial, self._record.sync(), state))
        return self._clock() - started_at_s
