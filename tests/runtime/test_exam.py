"""A version answers for itself, whatever serves."""

import os
import signal
import threading

import numpy as np
import pytest
import torch

from evaluation.scoreboard import Scoreboard
from runtime.build import build
from runtime.events import Prediction
from runtime.exam import answering
from runtime.session import run_session


def test_a_version_answers_as_it_served(tiny_world) -> None:
    parts = build(tiny_world.config(run={"pace": "lockstep"}))
    predictions = []
    versions = [parts.weights.source]

    def watch(event):
        if isinstance(event, Prediction):
            predictions.append((event, versions[-1]))
        if parts.weights.latest is not versions[-1]:
            versions.append(parts.weights.latest)

    parts.driver.run(watch, threading.Event())
    served, version = predictions[-1]
    assert version.number == served.version > 0
    answer = answering(parts.model, version, torch.device("cpu"))
    before = answering(parts.model, parts.weights.source, torch.device("cpu"))
    assert np.array_equal(answer(served.frame.image_HWC), served.labels_HW)
    first, _ = predictions[0]
    assert np.array_equal(before(first.frame.image_HWC), first.labels_HW)


@pytest.mark.parametrize(("method", "held_out"), [("styled", 0), ("styled", 3), ("frozen", 3)])
def test_a_run_is_examined_at_its_end_where_asked(tiny_world, tmp_path, method, held_out) -> None:
    config = tiny_world.config(
        stream={"max_frames": 6},
        adaptation={"method": method},
        replay={"held_out": held_out},
        run={"pace": "lockstep", "run_dir": tmp_path / "run"},
    )
    forgotten = run_session(config, make_scorer=Scoreboard, finish=lambda _: None).summary["quality"]["forgetting"]
    if not held_out:
        assert forgotten is None
        return
    assert forgotten["samples"] == 3 and forgotten["miou_before"] > 0
    assert (forgotten["miou_before"] == forgotten["miou_after"]) == (method == "frozen")
    assert forgotten["points_lost"] == pytest.approx(forgotten["miou_before"] - forgotten["miou_after"])


def test_an_examination_told_to_stop_ends_between_two_samples(tiny_world, tmp_path) -> None:
    class Terminated(Scoreboard):
        def examine(self, before, after, samples):
            def last_answer(image_HWC):
                os.kill(os.getpid(), signal.SIGTERM)
                return after(image_HWC)

            super().examine(before, last_answer, samples)

    config = tiny_world.config(
        stream={"max_frames": 3}, replay={"held_out": 4}, run={"pace": "lockstep", "run_dir": tmp_path / "run"}
    )
    summary = run_session(config, make_scorer=Terminated, finish=lambda _: None).summary
    assert summary["ended"] == "end" and summary["quality"]["forgetting"]["samples"] == 1
