"""Whole sessions, one after the other in one process, leave nothing behind."""

import itertools
import os
import signal

import pytest

from evaluation.scoreboard import Scoreboard
from runtime.events import Prediction
from runtime.session import run_session
from tests.runtime.test_live_faults import holdings

WAYS = list(itertools.product(("live", "max"), ("gaps", "thread", "inline", "off"), (False, True)))
NUM = 60


class Terminated(Scoreboard):
    """Ends its run in the midst."""

    def observe(self, event):
        super().observe(event)
        if isinstance(event, Prediction) and event.frame.index == 1:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.faults
@pytest.mark.timeout(570)
def test_sixty_sessions_leave_nothing_behind(tiny_world, tmp_path) -> None:
    """With page, record, checkpoints and a learner; half of them are stopped by a signal."""
    ended, before = [], {}
    for number, (pace, adapt, is_stopped) in zip(range(len(WAYS) + NUM), itertools.cycle(WAYS), strict=False):
        if number == len(WAYS):  # each way was gone once: pools and caches are filled
            before = holdings()
        config = tiny_world.config(
            stream={"fps": 100.0, "max_frames": 4},
            adaptation={"policy": "bare"},
            run={"run_dir": tmp_path / f"{number}", "pace": pace, "adapt": adapt},
            web={"web": True, "port": 0},
        )
        outcome = run_session(config, make_scorer=Terminated if is_stopped else Scoreboard, finish=lambda _: None)
        ended.append(outcome.summary["ended"])
    assert len(ended) == len(WAYS) + NUM and {"end", "interrupted"} >= set(ended) and ended.count("end") >= NUM // 2
    assert holdings() == before
