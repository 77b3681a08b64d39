"""An interrupted run goes on as if it never had been, and what cannot go on is told in one line."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cli import VERBS
from evaluation.scoreboard import Scoreboard
from runtime.cli import main
from runtime.events import Prediction
from runtime.option_words import ConfigError
from runtime.resume import load_run, refuse_changes
from runtime.session import run_session
from tests.runtime.journeys import NUM_FRAMES, STUCK, journey, journey_config, outcome, story

COPIED = (0, 4, 14, STUCK, 21, 28, 33, 41)  # before anything, learning, just after the repeat, upkeep, relaxing


def nothing(_: int) -> None:
    """What most runs do once a frame was answered."""


class Watching(Scoreboard):
    """Keeps every answer, and does something of its own once a frame was answered."""

    def __init__(self, classes, act=nothing):
        super().__init__(classes)
        self.act = act
        self.answers = {}

    def observe(self, event):
        super().observe(event)
        if isinstance(event, Prediction):
            labels = hashlib.sha256(event.labels_HW.tobytes()).hexdigest()
            self.answers[event.frame.index] = (event.version, labels, event.confidence, event.entropy_nats)
            self.act(event.frame.index)


def play(config, act=nothing):
    """The answers of a run."""
    scorers = []

    def make(classes):
        scorers.append(Watching(classes, act))
        return scorers[0]

    run_session(config, make_scorer=make, finish=lambda _: None)
    return scorers[0].answers


def copy_while_written(run_dir: Path, copy: Path) -> None:
    """As the folder would be found had the process died now: checkpoints first, as events only ever reach further."""
    (copy / "checkpoints").mkdir(parents=True)
    for path in sorted((run_dir / "checkpoints").glob("*"), reverse=True):
        with contextlib.suppress(FileNotFoundError):  # moved or removed since it was listed
            shutil.copy(path, copy / "checkpoints")
    for name in ("events.jsonl", "config.toml"):
        if (run_dir / name).exists():
            shutil.copy(run_dir / name, copy)


@pytest.fixture(scope="module")
def world(tiny_world, tmp_path_factory):
    return journey(tiny_world, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def reference(world, tmp_path_factory):
    """An uninterrupted run: its folder, its answers, and copies of its folder as it was after some frames."""
    folder = tmp_path_factory.mktemp("reference")

    def copy(index):
        if index in COPIED:
            copy_while_written(folder / "run", folder / f"copy{index}")

    answers = play(journey_config(world, folder / "run", checkpoint_every_s=0.001), copy)
    return folder / "run", answers, {index: folder / f"copy{index}" for index in COPIED}


def test_the_journey_has_everything_that_can_be_interrupted(reference) -> None:
    rows = story(reference[0])
    assert [row["kind"] for row in rows if row["event"] == "shift_event"] == ["away", "return"]
    assert [row["frame"] for row in rows if row["event"] == "frame_gated"] == [STUCK]
    steps = {row["frame"]: row["outcome"] for row in rows if row["event"] == "adaptation_step"}
    assert steps[13] == "applied" and steps[16] == "applied" and 17 not in steps and steps[33] == "relaxed"


@pytest.mark.parametrize("index", COPIED)
def test_a_run_cut_off_goes_on_bit_for_bit(reference, index) -> None:
    run_dir, answers, copies = reference
    answers_after = play(load_run(copies[index]))
    first = min(answers_after)
    assert first <= index + 1 and list(answers_after) == list(range(first, NUM_FRAMES))
    assert answers_after == {index: answer for index, answer in answers.items() if index >= first}
    assert story(copies[index]) == story(run_dir)
    assert outcome(copies[index]) == outcome(run_dir)


@pytest.mark.parametrize("last", [STUCK - 1, 25])  # the next frame repeats this one; between two steps of upkeep
def test_ctrl_c_saves_where_it_stops(world, reference, tmp_path, last) -> None:
    run_dir, answers, _ = reference
    config = journey_config(world, tmp_path / "run", checkpoint_every_s=1000.0)
    before = play(config, lambda index: os.kill(os.getpid(), signal.SIGINT) if index == last else None)
    assert list(before) == list(range(last + 1))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["ended"] == "interrupted"
    after = play(load_run(tmp_path / "run"))
    assert before | after == answers and min(after) == last + 1
    assert story(tmp_path / "run") == story(run_dir) and outcome(tmp_path / "run") == outcome(run_dir)
    (row,) = [row for row in rows_of(tmp_path / "run") if row["event"] == "run_resumed"]
    assert (row["frame"], row["detail"]) == (last + 1, "")


def rows_of(run_dir: Path):
    return [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]


def test_times_go_on_where_they_stopped(world, tmp_path) -> None:
    config = journey_config(world, tmp_path / "run")
    play(config, lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 5 else None)
    first_s = rows_of(tmp_path / "run")[-1]["wall_s"]
    play(load_run(tmp_path / "run"))
    times = [row["t_s"] for row in rows_of(tmp_path / "run") if row["event"] == "prediction"]
    assert times == sorted(times)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["wall_s"] > first_s


def test_max_frames_counts_from_the_beginning_of_the_run(world, tmp_path) -> None:
    config = journey_config(world, tmp_path / "run")
    config = replace(config, stream=replace(config.stream, max_frames=8))
    play(config, lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 4 else None)
    assert list(play(load_run(tmp_path / "run"))) == [5, 6, 7]
    with pytest.raises(ConfigError, match=f"^--resume {tmp_path / 'run'}: the run is complete"):
        play(load_run(tmp_path / "run"))
    more = load_run(tmp_path / "run")
    more = replace(more, stream=replace(more.stream, max_frames=10))
    assert list(play(more)) == [8, 9]
    frames = json.loads((tmp_path / "run" / "summary.json").read_text())["frames"]
    assert (frames["captured"], frames["predicted"]) == (10, 10)
    assert load_run(tmp_path / "run").stream.max_frames == 10


@pytest.mark.parametrize("pace", ["max", "live"])
def test_other_paces_go_on_too(world, tmp_path, pace) -> None:
    config = journey_config(world, tmp_path / "run", pace=pace, checkpoint_every_s=0.05)
    config = replace(config, stream=replace(config.stream, fps=20.0))  # seconds left when it is interrupted
    asked = []

    def interrupt_once(index):
        if index >= 12 and not asked:
            asked.append(index)
            os.kill(os.getpid(), signal.SIGINT)

    before = play(config, interrupt_once)
    after = play(load_run(tmp_path / "run"))
    assert min(after) > max(before)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    frames = summary["frames"]
    assert frames["captured"] == frames["predicted"] + sum(frames["dropped"].values()) + frames["in_flight"]
    assert frames["predicted"] == len(before) + len(after) and summary["ended"] == "end"
    if pace == "max":
        assert [*before, *after] == list(range(NUM_FRAMES))


def test_events_a_full_disk_refused_are_told_by_the_run_that_goes_on(world, tmp_path) -> None:
    """Its checkpoint came through, the lines of frames 3 and 4 did not."""
    config = journey_config(world, tmp_path / "run")
    config = replace(config, stream=replace(config.stream, max_frames=6))
    play(config, lambda index: os.kill(os.getpid(), signal.SIGINT) if index == 4 else None)
    told = tmp_path / "run" / "events.jsonl"
    whole = told.read_bytes()
    told.write_bytes(whole[: whole.rindex(b"\n", 0, whole.index(b'"frame":3,')) + 1])
    assert list(play(load_run(tmp_path / "run"))) == [5]
    (row,) = [row for row in rows_of(tmp_path / "run") if row["event"] == "run_resumed"]
    assert row["detail"] == "events of frames 3 to 4 were lost by the disk"


def complaint(capsys, *words) -> tuple[int, str]:
    code = main([str(word) for word in words], VERBS)
    return code, capsys.readouterr().err.strip()


def test_what_cannot_go_on_is_one_line(reference, tmp_path, capsys) -> None:
    run_dir = reference[0]
    nowhere, empty = tmp_path / "nowhere", tmp_path
    assert complaint(capsys, "--resume", nowhere) == (
        2,
        f"udaseg-runtime: --resume {nowhere}: no such folder; give the run folder of a run that was interrupted",
    )
    code, line = complaint(capsys, "--resume", empty)
    assert code == 2 and "not a run folder (no config.toml in it)" in line and "\n" not in line
    code, line = complaint(capsys, "--resume", run_dir, "--no-web")
    assert code == 2 and f"--resume {run_dir}: the run is complete" in line and "\n" not in line
    code, line = complaint(capsys, "--resume", run_dir, "--config", "x.toml")
    assert code == 2 and "both say what to begin from" in line


@pytest.mark.parametrize(
    ("section", "option", "value", "named"),
    [
        ("run", "seed", 9, "--seed 9: the run in {run_dir} was begun with 3; leave the option out, or"),
        ("adaptation", "method", "dacs", "--method dacs: the run in {run_dir} was begun with styled; "),
        ("run", "run_dir", Path("elsewhere"), "--run-dir elsewhere: --resume goes on in {run_dir}; "),
    ],
)
def test_options_that_would_change_the_run_are_refused(reference, section, option, value, named) -> None:
    config = load_run(reference[0])
    config = replace(config, **{section: replace(getattr(config, section), **{option: value})})
    with pytest.raises(ConfigError) as caught:
        refuse_changes(config)
    assert str(caught.value).startswith(named.format(run_dir=reference[0]))


def test_a_folder_in_use_is_left_alone(world, tmp_path) -> None:
    config = journey_config(world, tmp_path / "run")
    refusals = []

    def go_on_elsewhere(index):
        if index == 3:
            with pytest.raises(ConfigError, match="a process is at work in it"):
                play(load_run(tmp_path / "run"))
            refusals.append(index)

    config = replace(config, stream=replace(config.stream, max_frames=6))
    assert len(play(config, go_on_elsewhere)) == 6 and refusals == [3]


def test_damaged_checkpoints_are_passed_over_and_told(reference, tmp_path, capsys) -> None:
    run_dir, _, copies = reference
    shutil.copytree(copies[14], tmp_path / "run")
    files = sorted((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    (tmp_path / "run" / "summary.json").unlink(missing_ok=True)  # another test may have gone on with this copy
    files[-1].write_bytes(files[-1].read_bytes()[:1000])
    play(load_run(tmp_path / "run"))
    assert story(tmp_path / "run") == story(run_dir)
    resumptions = [row for row in rows_of(tmp_path / "run") if row["event"] == "run_resumed"]
    assert "passed over frame-" in resumptions[-1]["detail"]
    (tmp_path / "run" / "summary.json").unlink()
    for file in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        file.write_bytes(b"")
    code, line = complaint(capsys, "--resume", tmp_path / "run", "--no-web")
    assert code == 4 and "none of its 3 checkpoints is whole" in line and "\n" not in line
