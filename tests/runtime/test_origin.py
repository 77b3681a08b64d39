"""Run folders nobody named: their names, and that runs begun at once have one each."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluation.scoreboard import Scoreboard
from runtime.config import RunConfig, RuntimeConfig
from runtime.origin import MAX_NAME, Origin, default_run_dir, find_origin, settled
from runtime.record import RunFolderExists
from runtime.session import run_session


def test_names_of_run_folders_fit_any_file_system(tiny_world) -> None:
    name = default_run_dir(tiny_world.config(stream={"stream": "rtsp://a b/" + "x" * 400 + "/cam 1"})).name
    assert re.fullmatch(r"\d{8}T\d{6}-[A-Za-z0-9._-]+-styled", name) and len(name) < MAX_NAME + 40
    assert default_run_dir(tiny_world.config(stream={"stream": "///"})).name.endswith("-stream-styled")


def test_runs_begun_in_the_same_second_have_a_folder_each(tmp_path) -> None:
    origin = Origin(tmp_path / "runs" / "20260101T000000-x-styled+tie=0.5", is_unnamed=True)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(settled, [origin] * 8))
    names = {one.run_dir.name.removeprefix(origin.run_dir.name) for one in made}
    assert names == {"", *(f"-{number}" for number in range(2, 9))}
    assert all(one.run_dir.is_dir() and one.events_bytes == 0 for one in made)


def test_a_folder_that_was_named_is_not_made_and_not_renamed(tmp_path) -> None:
    origin = find_origin(RuntimeConfig(run=RunConfig(run_dir=tmp_path / "run")))
    assert settled(origin) is origin and origin.events_bytes is None and not (tmp_path / "run").exists()
    with pytest.raises(RunFolderExists):
        find_origin(RuntimeConfig(run=RunConfig(run_dir=tmp_path)))


def test_a_folder_that_cannot_be_made_is_left_to_the_record(tmp_path) -> None:
    (tmp_path / "runs").write_text("in the way")
    origin = settled(Origin(tmp_path / "runs" / "name", is_unnamed=True))
    assert origin.run_dir == tmp_path / "runs" / "name" and origin.events_bytes is None


def test_a_run_without_a_name_fills_the_folder_it_made(tiny_world, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny_world.config(stream={"max_frames": 2})
    outcome = run_session(config, make_scorer=Scoreboard, finish=lambda _: None)
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert (outcome.run_dir, outcome.summary["faults"]) == (Path("runs") / run_dir.name, {})
    assert {path.name for path in run_dir.iterdir()} >= {"config.toml", "events.jsonl", "previews", "summary.json"}
