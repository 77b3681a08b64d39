"""A version answers for itself, whatever serves."""

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


def test_a_run_is_examined_at_its_end_where_asked(tiny_world, tmp_path) -> None:
    found = {}
    for held_out in (0, 3):
        config = tiny_world.config(
            stream={"max_frames": 6},
            replay={"held_out": held_out},
            run={"pace": "lockstep", "run_dir": tmp_path / str(held_out)},
        )
        outcome = run_session(config, make_scorer=Scoreboard, finish=lambda _: None)
        quality = outcome.summary["quality"]
        found[held_out] = quality["forgetting"]
    assert found[0] is None
    assert found[3]["samples"] == 3
    assert found[3]["points_lost"] == pytest.approx(found[3]["miou_before"] - found[3]["miou_after"])
    assert found[3]["miou_before"] > quality["miou_frozen"]  # the source, not the dark stream
