"""Where a run begins: at the first frame in a new folder, or where an earlier process stopped, in the old one.

Asked before anything slow is built: until `settled` it reads checkpoints and changes nothing.
"""

import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.tensorfile import CheckpointInvalid
from runtime.checkpoints import Checkpoint, newest_checkpoint
from runtime.config import RuntimeConfig
from runtime.option_words import ConfigError
from runtime.record import refuse_existing
from runtime.resume import refuse_changes

TAIL_BYTES = 1 << 20  # of the record of events: the lines of some thousand frames
MAX_NAME = 80  # characters of a stream in the name of a run folder; file systems allow 255 in all


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """`checkpoint` is None for a run that begins at the first frame; `detail` says what a resumed run has lost, and
    `is_unnamed` that nobody chose the name of the folder.
    """

    run_dir: Path
    is_resumed: bool = False
    checkpoint: Checkpoint | None = None
    detail: str = ""
    is_unnamed: bool = False

    @property
    def next_frame(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.next_frame

    @property
    def num_before(self) -> int:
        """Frames that were captured before that one."""
        return 0 if self.checkpoint is None else self.checkpoint.num_before

    @property
    def events_bytes(self) -> int | None:
        """The length at which the record of events goes on; None where the folder is still to be made."""
        if not self.is_resumed and not self.is_unnamed:
            return None
        return 0 if self.checkpoint is None else self.checkpoint.events_bytes


def hold(run_dir: Path) -> int | None:
    """Claim the folder for this process until it ends or closes the descriptor; None where the disk knows no locks.

    ConfigError where another process is at work in it.
    """
    try:
        descriptor = os.open(run_dir, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigError(f"--resume {run_dir}: a process is at work in it; wait for its end, or stop it") from error
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def find_origin(config: RuntimeConfig) -> Origin:
    """Raises RunFolderExists, ConfigError, and CheckpointInvalid where no checkpoint of a resumed run is whole."""
    run_dir = config.run.resume
    if run_dir is None:
        if config.run.run_dir is None:
            return Origin(default_run_dir(config), is_unnamed=True)
        refuse_existing(config.run.run_dir)
        return Origin(config.run.run_dir)
    refuse_changes(config)
    folder = run_dir / "checkpoints"
    found = newest_checkpoint(folder)
    if found.checkpoint is None and found.passed_over:
        raise CheckpointInvalid(
            f"--resume {run_dir}: none of its {len(found.passed_over)} checkpoints is whole ({found.passed_over[0]}); "
            f"bring back the files, or remove {folder} to begin again at the first frame"
        )
    lost = [f"passed over {reason}" for reason in found.passed_over]
    if found.checkpoint is None:
        lost.append("no checkpoint had been written yet, so it begins again at the first frame")
    elif (first := _first_unrecorded(run_dir / "events.jsonl", found.checkpoint)) < found.checkpoint.next_frame:
        lost.append(f"events of frames {first} to {found.checkpoint.next_frame - 1} were lost by the disk")
    return Origin(run_dir, True, found.checkpoint, "; ".join(lost))


def settled(origin: Origin) -> Origin:
    """With an unnamed folder made: NAME, or NAME-2, NAME-3, ... where runs begun in the same second were faster."""
    if not origin.is_unnamed:
        return origin
    for number in itertools.count(1):
        run_dir = origin.run_dir if number == 1 else Path(f"{origin.run_dir}-{number}")
        try:
            run_dir.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError:  # the record meets it too, and says what it costs
            break
        return dataclasses.replace(origin, run_dir=run_dir)
    return dataclasses.replace(origin, is_unnamed=False)


def default_run_dir(config: RuntimeConfig) -> Path:
    """runs/<UTC time>-<stream>-<method>, with what a file name cannot carry replaced."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    stream = re.sub(r"[^A-Za-z0-9._-]+", "_", config.stream.stream)[-MAX_NAME:].strip("_") or "stream"
    return Path("runs") / f"{stamp}-{stream}-{config.adaptation.title}"


def _first_unrecorded(events: Path, checkpoint: Checkpoint) -> int:
    """The frame after the newest whose prediction is on record; a checkpoint's own is the one before it goes on.

    Read backwards, as that one is near the end unless the disk refused lines.
    """
    if not events.is_file():
        return 0
    with events.open("rb") as file:
        end = min(checkpoint.events_bytes, file.seek(0, os.SEEK_END))
        for num_bytes in (TAIL_BYTES, end):
            file.seek(max(0, end - num_bytes))
            lines = file.read(min(num_bytes, end)).splitlines()
            for line in reversed(lines):
                with contextlib.suppress(ValueError):  # the first line may be cut in the midst, the last by a full disk
                    row = json.loads(line)
                    if row["event"] == "prediction":
                        return int(row["frame"]) + 1
    return 0
