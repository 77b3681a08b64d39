"""A disk that really is read-only, from the start or from some frame on, costs its files and never the run."""

import json
import subprocess

import pytest

from evaluation.report import write_report
from evaluation.scoreboard import Scoreboard
from runtime.checkpoints import newest_checkpoint
from runtime.events import Prediction
from runtime.session import run_session

# A disk that only the shell sees and that goes with it; one line asks for the next step, one tells it is done.
DISK = """mount -t tmpfs -o size=16m tmpfs "$0" && echo made && read _ &&
until mount -o remount,ro "$0"; do sleep 0.02; done && echo sealed && read _"""


class Disk:
    """Its folder is reached through the shell's view of the files, so that this process needs no mount of its own."""

    def __init__(self, shell, folder):
        self._shell = shell
        self.folder = folder

    def seal(self):
        self._shell.stdin.write("\n")
        self._shell.stdin.flush()
        assert self._shell.stdout.readline() == "sealed\n"


@pytest.fixture
def disk(tmp_path):
    command = ["unshare", "--mount", "sh", "-c", DISK, str(tmp_path)]
    try:
        shell = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
    except FileNotFoundError:
        pytest.skip("no unshare(1) to make a disk of one's own with")
    with shell:
        if shell.stdout.readline() != "made\n":
            pytest.skip("this process may not mount a disk of its own")
        yield Disk(shell, type(tmp_path)(f"/proc/{shell.pid}/root{tmp_path}"))
        shell.stdin.close()


def play(config, make_scorer=Scoreboard):
    return run_session(config, make_scorer=make_scorer, finish=write_report).summary


def test_a_read_only_disk_costs_the_record_only(tiny_world, disk, capsys) -> None:
    disk.seal()
    summary = play(tiny_world.config(stream={"max_frames": 3}, run={"run_dir": disk.folder / "run"}))
    assert (summary["ended"], summary["frames"]["predicted"], summary["faults"]["record"]) == ("end", 3, 1)
    assert "recording stopped (Read-only file system)" in " ".join(capsys.readouterr().out.split())
    assert list(disk.folder.iterdir()) == []


def test_a_disk_that_becomes_read_only_keeps_what_it_has(tiny_world, disk, capsys) -> None:
    class Sealing(Scoreboard):
        def observe(self, event):
            super().observe(event)
            if isinstance(event, Prediction) and event.frame.index == 3:
                disk.seal()

    run_dir = disk.folder / "run"
    run = {"run_dir": run_dir, "pace": "lockstep", "checkpoint_every_s": 0.001}
    summary = play(tiny_world.config(stream={"max_frames": 6}, run=run), Sealing)
    assert (summary["ended"], summary["frames"]["predicted"]) == ("end", 6) and summary["faults"]["record"] >= 1
    assert "recording stopped (Read-only file system)" in " ".join(capsys.readouterr().out.split())
    found = newest_checkpoint(run_dir / "checkpoints")
    assert found.checkpoint is not None and found.checkpoint.next_frame <= 4 and found.passed_over == ()
    kept = (run_dir / "events.jsonl").read_bytes()[: found.checkpoint.events_bytes].splitlines()
    predicted = [row["frame"] for row in map(json.loads, kept) if row["event"] == "prediction"]
    assert predicted == list(range(found.checkpoint.next_frame))
