import json
import os

import pytest

from benchmarks.cells import Cell, CellFailed, CellStopped, Launch, code_note, codes_of, failure, is_finished, run_cells
from benchmarks.conditions import ROOT, code_digest
from evaluation.run_folder import NOTE_FILE
from models.tensorfile import CheckpointInvalid
from runtime.cli import exit_code
from runtime.config import ModelConfig, RunConfig, RuntimeConfig
from runtime.option_words import ConfigError


def make_cell(checkpoint, **run):
    return Cell("clear-0", RuntimeConfig(model=ModelConfig(checkpoint=str(checkpoint)), run=RunConfig(**run)))


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no weights")
    return path


def finish(run_dir, *, ended="end", code="abc"):
    run_dir.mkdir(parents=True)
    (run_dir / "summary.json").write_text(json.dumps({"ended": ended}))
    (run_dir / NOTE_FILE).write_text(json.dumps({"code": code, "wall_s": 1.0}))
    return run_dir


def test_the_folder_name_follows_settings_and_weights(checkpoint):
    cell = make_cell(checkpoint)
    assert cell.folder_name() == make_cell(checkpoint).folder_name()
    assert cell.folder_name() != make_cell(checkpoint, seed=1).folder_name()
    before = cell.folder_name()
    checkpoint.write_bytes(b"other weights")
    assert cell.folder_name() != before


def test_finished_cells_are_not_run_again(tmp_path, checkpoint):
    cell = make_cell(checkpoint)
    run_dir = finish(tmp_path / "runs" / cell.folder_name(), code=code_digest())
    said = []
    assert run_cells([cell], tmp_path / "runs", jobs=1, launch=Launch(), report=said.append) == [run_dir]
    assert said == [f"1 of 1 runs are there already, in {tmp_path / 'runs'}"]


def test_cells_of_other_code_are_used_again_and_said_to_be(tmp_path, checkpoint):
    cell = make_cell(checkpoint)
    finish(tmp_path / cell.folder_name(), code="0123456789ab")
    said = []
    run_cells([cell], tmp_path, jobs=1, launch=Launch(), report=said.append)
    note = f"1 of 1 runs were made with other code (0123456789ab) than is here ({code_digest()})."
    assert said == [f"1 of 1 runs are there already, in {tmp_path}; {note} Another --out starts anew."]


def test_readers_are_told_of_other_code_alone(tmp_path):
    runs = [finish(tmp_path / name, code=code) for name, code in (("a", "y"), ("b", code_digest()), ("c", "x"))]
    assert code_note(runs[1:2]) == ""
    assert code_note(runs) == f"2 of 3 runs were made with other code (x, y) than is here ({code_digest()})."
    assert code_note([tmp_path / "unnoted"]).startswith("1 of 1 runs were made with other code (unknown)")


def test_an_interrupted_run_is_not_finished(tmp_path):
    assert not is_finished(finish(tmp_path / "run", ended="interrupted"))
    assert not is_finished(tmp_path / "missing")


def test_codes_are_listed_once_each(tmp_path):
    runs = [finish(tmp_path / name, code=code) for name, code in (("a", "x"), ("b", "y"), ("c", "x"))]
    assert codes_of([*runs, tmp_path / "missing"]) == ["x", "y"]


def test_a_missing_checkpoint_is_named_before_anything_runs(tmp_path):
    with pytest.raises(CheckpointInvalid, match=r"^--checkpoint .*none: neither a file nor a shipped"):
        run_cells([make_cell(tmp_path / "none")], tmp_path, jobs=1, launch=Launch())


def test_processes_find_our_packages_and_their_threads():
    environment = Launch(threads=1).environment()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
    assert "OMP_NUM_THREADS" not in Launch(threads=None).environment()


def test_a_failed_run_says_what_its_exit_code_stands_for(tmp_path, checkpoint):
    cell = make_cell(checkpoint)
    with pytest.raises(CheckpointInvalid, match=r"weights.safetensors"):
        run_cells([cell], tmp_path / "runs", jobs=1, launch=Launch())
    assert not (tmp_path / "runs" / cell.folder_name()).exists()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (0, CellStopped, "clear-0 was ended before its stream did; the same command goes on"),
        (130, CellStopped, "clear-0 was ended before its stream did"),
        (-9, CellStopped, "clear-0 was ended by SIGKILL"),
        (70, CellFailed, r"clear-0 ended with exit code 70: the last line; see .*clear\.log"),
        (2, ConfigError, "^the last line$"),
    ],
)
def test_a_run_that_was_told_to_end_is_no_failure(tmp_path, checkpoint, code, kind, words):
    log = tmp_path / "clear.log"
    log.write_text("the first line\nudaseg-runtime: the last line\n")
    with pytest.raises(kind, match=words):
        raise failure(code, make_cell(checkpoint), log)


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_the_command_ends_as_its_run_did(tmp_path, checkpoint, code):
    log = tmp_path / "clear.log"
    log.write_text("udaseg-runtime: CUDA out of memory. Tried to allocate 2.00 GiB\n")
    error = failure(code, make_cell(checkpoint), log)
    assert isinstance(error, Exception)
    assert (exit_code(error), str(error)) == (code, "CUDA out of memory. Tried to allocate 2.00 GiB")
