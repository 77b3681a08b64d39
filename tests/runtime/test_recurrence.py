"""A returning domain is served by what was learnt there: in one run, after an interruption, in another run."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.scoreboard import Scoreboard
from models.tensorfile import CheckpointInvalid, read_tensors
from runtime.adaptation.recollection import CONFIRM_FRAMES
from runtime.config import LibraryConfig, RuntimeConfig
from runtime.events import Prediction
from runtime.resume import load_run
from runtime.session import run_session
from tests.runtime.journeys import journey_config, outcome, round_trip, story

DUSK, DUSK_AGAIN = 8, 40


class Stopping(Scoreboard):
    """Interrupts the run once a frame was answered."""

    last = -1

    def observe(self, event):
        super().observe(event)
        if isinstance(event, Prediction) and event.frame.index == self.last:
            os.kill(os.getpid(), signal.SIGINT)


def play(config: RuntimeConfig, *, last: int | None = None) -> list[dict[str, Any]]:
    """The story of a run, interrupted after frame `last` if there is one."""

    def make(classes):
        scorer = Stopping(classes)
        scorer.last = last
        return scorer

    return story(run_session(config, make_scorer=make, finish=lambda _: None).run_dir)


def config_of(world: Any, run_dir: Path, **library: Any) -> RuntimeConfig:
    config = journey_config(world, run_dir, checkpoint_every_s=1000.0)
    adaptation = replace(config.adaptation, budget=20)
    return replace(config, adaptation=adaptation, library=LibraryConfig(**library))


def recalls(rows: list[dict[str, Any]]) -> list[int]:
    return [row["frame"] for row in rows if row["event"] == "recall"]


def served(rows: list[dict[str, Any]], frame: int) -> int:
    (version,) = [row["version"] for row in rows if row["event"] == "prediction" and row["frame"] == frame]
    return version


@pytest.fixture(scope="module")
def world(tiny_world, tmp_path_factory):
    return round_trip(tiny_world, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def reference(world, tmp_path_factory):
    """A run that leaves a library: its folder, and the file."""
    folder = tmp_path_factory.mktemp("reference")
    play(config_of(world, folder / "run", library=folder / "known"))
    return folder / "run", folder / "known"


def test_a_returning_domain_is_served_from_the_frame_after_it_is_sure(reference) -> None:
    rows = story(reference[0])
    assert recalls(rows) == [DUSK_AGAIN + CONFIRM_FRAMES - 1]
    first = DUSK_AGAIN + CONFIRM_FRAMES
    assert served(rows, first) > max(served(rows, frame) for frame in range(first))
    assert json.loads((reference[0] / "summary.json").read_text())["adaptation"]["recalls"] == 1


def test_without_a_library_nothing_returns(world, tmp_path) -> None:
    assert recalls(play(config_of(world, tmp_path / "run", library_mb=0.0))) == []


def test_a_run_interrupted_before_a_return_is_sure_goes_on_bit_for_bit(world, reference, tmp_path) -> None:
    config = config_of(world, tmp_path / "run", library=tmp_path / "known")
    play(config, last=DUSK_AGAIN)
    assert (tmp_path / "known").exists()
    assert play(load_run(tmp_path / "run")) == story(reference[0])
    assert outcome(tmp_path / "run") == outcome(reference[0])
    (tensors, figures), (expected, expected_figures) = map(read_tensors, (tmp_path / "known", reference[1]))
    assert figures == expected_figures and tensors.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors.items())


def test_another_run_begins_with_what_this_one_learnt(world, reference, tmp_path) -> None:
    known = tmp_path / "known"
    known.write_bytes(reference[1].read_bytes())
    config = config_of(world, tmp_path / "run", library=known)
    rows = play(replace(config, run=replace(config.run, seed=9)))
    assert recalls(rows)[0] == DUSK + CONFIRM_FRAMES - 1 and served(rows, DUSK + CONFIRM_FRAMES) > 0
    assert known.read_bytes() != reference[1].read_bytes()


def test_a_library_of_another_model_is_refused_before_anything_is_written(world, reference, tmp_path) -> None:
    config = config_of(world, tmp_path / "run", library=reference[1])
    with pytest.raises(CheckpointInvalid, match=r"manifest.trainable is adapters, expected head"):
        play(replace(config, model=replace(config.model, trainable="head")))
    assert not (tmp_path / "run").exists()


def test_a_library_that_cannot_be_written_costs_nothing_but_itself(world, tmp_path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()

    class Removing(Scoreboard):
        def observe(self, event):
            super().observe(event)
            if folder.exists():
                folder.rmdir()

    config = config_of(world, tmp_path / "run", library=folder / "known")
    config = replace(config, stream=replace(config.stream, max_frames=3))
    summary = run_session(config, make_scorer=Removing, finish=lambda _: None).summary
    assert summary["ended"] == "end" and summary["faults"] == {"library": 1}
