"""Long fault tests with real processes, signals and threads: what a run leaves behind, and how it ends when it must."""

import gc
import itertools
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import torch

from models.trainable import adaptable_tensors, replica, trainable_parameters
from runtime import events
from runtime.adaptation.descent import Descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.method import Target
from runtime.adaptation.styled import StyledReplay
from runtime.build import build
from runtime.live import Live
from runtime.observer import Event
from runtime.predictor import Predictor
from runtime.rules import LiveRules, ThreadBudget
from runtime.serving import SwappedReplica
from runtime.slack import SlackGate
from runtime.weights import VersionedWeights
from streams.limited import Limited
from streams.pacing import Paced
from streams.stream import StreamOptions, open_stream
from tests.runtime.adaptation.samples import candidate_of
from tests.runtime.test_session import COMMAND, events_of

pytestmark = pytest.mark.faults

# Methods as a user may write them, each with a way to fail that learning cannot survive.
METHODS = """
import ctypes, threading
from runtime.adaptation.method import Method
from runtime.adaptation.methods import METHODS, Entry

class Stuck(Method):
    def loss(self, student, target):
        threading.Event().wait()

class StuckInNativeCode(Method):
    def loss(self, student, target):
        ctypes.CDLL(None).sleep(1000)

class Vandal(Method):
    '''Destroys weights that prediction shares.'''
    def loss(self, student, target):
        for parameter in student.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data[:0]
        raise RuntimeError("done")

for number, method in enumerate((Stuck, StuckInNativeCode, Vandal)):
    METHODS[method.__name__.lower()] = Entry("fails", lambda given, make=method: make())
"""
LEARNS_TILL_STOPPED = ("--stream", "rain_sequence", "--dataset", "camvid:test_dusk", "--pace", "live", "--fps", "8")


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", METHODS + COMMAND, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_until(process: subprocess.Popen, start: str) -> list[str]:
    """Lines printed up to the one that begins with `start`."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return lines
    raise AssertionError(f"never said {start!r}: {lines}")


def terminate(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and complaints of a process that has five seconds to end."""
    process.send_signal(signal.SIGTERM)
    try:
        _, complaints = process.communicate(timeout=5)
    finally:
        process.kill()
    return process.returncode, complaints


def checkpoints(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "checkpoints").iterdir())


def summary_of(run_dir: Path) -> dict:
    return json.loads((run_dir / "summary.json").read_text())


def test_sigterm_while_learning_ends_in_time_with_everything_saved(tiny_world, tmp_path) -> None:
    process = start(tiny_world.arguments(*LEARNS_TILL_STOPPED, "--run-dir", tmp_path / "run"))
    read_until(process, "shift: away")
    assert terminate(process) == (0, "")
    summary = summary_of(tmp_path / "run")
    assert summary["ended"] == "interrupted" and summary["frames"]["in_flight"] == 0
    assert checkpoints(tmp_path / "run") and not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("method", ["stuck", "stuckinnativecode"])
def test_sigterm_while_the_learner_is_stuck_ends_in_time(tiny_world, tmp_path, method) -> None:
    process = start(tiny_world.arguments(*LEARNS_TILL_STOPPED, "--method", method, "--run-dir", tmp_path / "run"))
    read_until(process, "shift: away")
    assert terminate(process) == (0, "")
    assert summary_of(tmp_path / "run")["frames"]["in_flight"] == 0
    assert checkpoints(tmp_path / "run")


def test_sigterm_while_the_disk_hangs_ends_in_time(tiny_world, tmp_path) -> None:
    """Who opens a pipe for writing waits for a reader, here for ever."""
    process = start(tiny_world.arguments(*LEARNS_TILL_STOPPED, "--run-dir", tmp_path / "run"))
    read_until(process, "shift: away")
    told = tmp_path / "run" / "events.jsonl"
    told.unlink(missing_ok=True)
    os.mkfifo(told)
    assert terminate(process) == (0, "")
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_learner_that_hangs_is_declared_so_and_no_prediction_is_missing(tiny_world, tmp_path) -> None:
    """Ninety-six frames in twelve seconds of stream; the learner hangs at the third and for good."""
    words = ("--max-frames", 96, "--method", "stuck", "--run-dir", tmp_path / "run")
    process = start(tiny_world.arguments(*LEARNS_TILL_STOPPED, *words))
    _, complaints = process.communicate(timeout=100)
    assert (process.returncode, complaints) == (0, "")
    summary = summary_of(tmp_path / "run")
    assert (
        summary["ended"] == "end" and summary["frames"]["predicted"] + sum(summary["frames"]["dropped"].values()) == 96
    )
    happened = events_of(tmp_path / "run")
    (hung,) = (event for event in happened if event["event"] == "worker_changed")
    shift = next(event for event in happened if event["event"] == "shift_event")
    assert (hung["component"], hung["state"]) == ("learner", "hung") and hung["t_s"] - shift["t_s"] <= 10
    assert not [event for event in happened if event["event"] == "adaptation_step"]
    afterwards = happened[happened.index(hung) :]  # before it what serves may have the stream's statistics
    assert {event["version"] for event in afterwards if event["event"] == "prediction"} == {0}


def test_inference_that_dies_ends_the_process_with_70_a_line_and_a_checkpoint(tiny_world, tmp_path) -> None:
    words = ("--method", "vandal", "--run-dir", tmp_path / "run")
    process = start(tiny_world.arguments(*LEARNS_TILL_STOPPED, *words))
    read_until(process, "shift: away")
    try:
        _, complaints = process.communicate(timeout=5)
    finally:
        process.kill()
    assert process.returncode == 70 and complaints.count("\n") == 1
    assert complaints.startswith("udaseg-runtime: a defect of ours, please report it: RuntimeError")
    assert summary_of(tmp_path / "run")["ended"] == "error" and checkpoints(tmp_path / "run")


def test_inference_that_dies_while_the_disk_hangs_ends_in_time(tiny_world, tmp_path) -> None:
    """The first lines for the record wait, with all that the disk is to be given after them."""
    process = start(tiny_world.arguments(*LEARNS_TILL_STOPPED, "--method", "vandal", "--run-dir", tmp_path / "run"))
    read_until(process, "rain_sequence on")
    os.mkfifo(tmp_path / "run" / "events.jsonl")
    read_until(process, "shift: away")
    try:
        _, complaints = process.communicate(timeout=5)
    finally:
        process.kill()
    assert process.returncode == 70 and complaints.startswith("udaseg-runtime: a defect of ours")


def holdings() -> dict[str, int]:
    """What may leak, counted."""
    gc.collect()
    process = psutil.Process()
    return {
        "threads": process.num_threads(),
        "python threads": threading.active_count(),
        "descriptors": process.num_fds(),
        "children": len(process.children(recursive=True)) + len(multiprocessing.active_children()),
        "shared memory": sum(region.path.startswith("/dev/shm") for region in process.memory_maps()),
    }


class Learning:
    """A cycle that learns from every frame."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def consider(self, predictions):
        newest = predictions[-1]
        step, _ = self._learner.learn(Target(newest.frame.index, newest.frame.image_HWC, newest.labels_HW, 0.5))
        yield step

    def give_up(self) -> None:
        """On a busy machine a step may outlast the end of a run; the test waits for it."""


def test_three_hundred_starts_and_stops_leave_nothing_behind(tiny_world) -> None:
    """Every other run is stopped in the midst, the others go on to the end of a short stream."""
    parts = build(tiny_world.config(run={"pace": "lockstep"}))
    weights = VersionedWeights(adaptable_tensors(parts.model))
    predictor = Predictor(SwappedReplica(replica(parts.model), parts.device), weights, clock=time.monotonic)
    learner = Learner(
        parts.model,
        StyledReplay(parts.replay, device=parts.device, generator=torch.Generator().manual_seed(0)),
        candidate_of(parts.model, weights, max_drift=math.inf),
        Descent(torch.optim.AdamW(trainable_parameters(parts.model), lr=1e-4)),
        ema_decay=0.9,
        clock=time.monotonic,
    )
    ways = itertools.cycle(itertools.product(("thread", "gaps", "inline"), (True, False), (True, False)))
    outcomes: Counter[str] = Counter()
    before: dict[str, int] = {}
    for number, (adapt, is_lossless, is_stopped) in zip(range(12 + 300), ways, strict=False):
        if number == 12:  # each way was gone once: pools and caches are filled
            before = holdings()
        options = StreamOptions(size_HW=(32, 64), data=tiny_world.data)
        stream = Paced(Limited(open_stream("dataset:camvid:test_dusk", options), max_frames=4), pace="max")
        slack = SlackGate() if adapt == "gaps" else None
        rules = LiveRules(ThreadBudget(1, 1), adapt, is_lossless=is_lossless, max_age_s=math.inf, slack=slack)
        stop = threading.Event()

        def note(event: Event, stop=stop, is_stopped=is_stopped) -> None:
            outcomes[type(event).__name__] += 1
            if is_stopped and isinstance(event, events.Prediction):
                stop.set()

        live = Live(stream, predictor, Learning(learner), clock=time.monotonic, rules=rules)
        live.run(note, stop)
        for worker in threading.enumerate():
            if worker.name in live.left_behind:
                worker.join(60)
    assert outcomes["Prediction"] >= 312 and outcomes["AdaptationStep"] >= 150
    assert holdings() == before
