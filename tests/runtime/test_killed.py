"""kill -9 at 200 random instants of real processes: what is on disk always goes on, and ends as if nothing had been."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime.checkpoints import newest_checkpoint
from runtime.config_file import to_toml
from tests.runtime.journeys import journey, journey_config, outcome, story

NUM_KILLS = 100  # by each of two seeds
NUM_FRAMES = 24  # of the journey: clear, away, learning, a repeated frame, upkeep
KILLED = 9
COMMAND = "from tests.runtime.lives import serve; serve()"


class Lives:
    """One run after another, each killed again and again until a life reaches its end."""

    def __init__(self, folder: Path, config_file: Path, process: subprocess.Popen) -> None:
        self.folder = folder
        self.config_file = config_file
        self.process = process
        self.next_frame = 0

    def live(self, *, kill_after_s: float | None) -> tuple[int, float]:
        """Status as waitpid gives it, and seconds."""
        run_dir = self.folder / "run"
        is_begun = (run_dir / "config.toml").exists()
        if not is_begun:
            shutil.rmtree(run_dir, ignore_errors=True)  # killed before there was anything to resume
        wish = {
            "config": None if is_begun else str(self.config_file),
            "run_dir": str(run_dir),
            "kill_after_s": kill_after_s,
        }
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["seconds"]

    def check(self) -> None:
        """What a killed process left: whole checkpoints, no older than was told, and the events up to the newest."""
        found = newest_checkpoint(self.folder / "run" / "checkpoints")
        assert found.passed_over == ()
        events = self.folder / "run" / "events.jsonl"
        content = events.read_bytes() if events.exists() else b""
        told = [json.loads(line) for line in content.split(b"\n")[:-1]]  # the last line may be cut
        saved = [row for row in told if row["event"] == "checkpoint_saved" and not row["error"]]
        promised = max((row["next_frame"] for row in saved), default=0)
        if found.checkpoint is None:
            assert promised == self.next_frame == 0
            return
        assert found.checkpoint.next_frame >= max(promised, self.next_frame)
        self.next_frame = found.checkpoint.next_frame
        kept = content[: found.checkpoint.events_bytes]
        assert len(kept) == found.checkpoint.events_bytes and kept.endswith(b"\n")
        predicted = [row["frame"] for row in map(json.loads, kept.splitlines()) if row["event"] == "prediction"]
        assert predicted == list(range(self.next_frame))

    @property
    def is_complete(self) -> bool:
        return (self.folder / "run" / "summary.json").exists()

    def begin_again(self) -> None:
        shutil.rmtree(self.folder / "run")
        self.next_frame = 0


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_hundred_kills_lose_nothing(tiny_world, tmp_path, seed) -> None:
    world = journey(tiny_world, tmp_path)
    config = journey_config(world, None, checkpoint_every_s=0.05)
    config = replace(config, stream=replace(config.stream, max_frames=NUM_FRAMES))
    (tmp_path / "wish.toml").write_text(to_toml(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        (tmp_path / "reference").mkdir()
        status, seconds = Lives(tmp_path / "reference", tmp_path / "wish.toml", process).live(kill_after_s=None)
        assert status == 0, (tmp_path / "reference" / "output.txt").read_text()
        reference = tmp_path / "reference" / "run"
        (tmp_path / "killed").mkdir()
        lives = Lives(tmp_path / "killed", tmp_path / "wish.toml", process)
        rng = np.random.default_rng(seed)
        num_killed = num_finished = 0
        while num_killed < NUM_KILLS or num_finished == 0:
            kill_after_s = float(rng.uniform(0, 0.8 * seconds))
            status, _ = lives.live(kill_after_s=kill_after_s if num_killed < NUM_KILLS else None)
            assert status in (0, KILLED), (tmp_path / "killed" / "output.txt").read_text()
            if status == KILLED:
                num_killed += 1
                lives.check()
                if not lives.is_complete:
                    continue  # else killed on its way out, with nothing left to do: such a run is not resumed
            num_finished += status != KILLED
            assert story(tmp_path / "killed" / "run") == story(reference)
            assert outcome(tmp_path / "killed" / "run") == outcome(reference)
            lives.begin_again()
    finally:
        process.communicate()
    assert num_killed == NUM_KILLS and num_finished >= 1
