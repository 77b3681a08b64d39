"""Lives of a run: a process that has imported everything once forks a child per life, and may kill it.

    python -c "from tests.runtime.lives import serve; serve()"

reads one JSON object per line, {"config": FILE or null, "run_dir": DIR, "kill_after_s": seconds or null}, lives one
life of the run (a new one by the configuration, or the one in the folder resumed) and answers {"status", "seconds"}.
The parent computes nothing, so that it stays without threads and may fork.
"""

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from evaluation.scoreboard import Scoreboard
from runtime.config import RuntimeConfig
from runtime.config_file import load_toml
from runtime.resume import load_run
from runtime.session import run_session


def serve() -> None:
    """Until the input ends."""
    for line in sys.stdin:
        wish = json.loads(line)
        began_s = time.monotonic()
        child = os.fork()
        if child == 0:
            _live(wish["config"], Path(wish["run_dir"]))
        if wish["kill_after_s"] is not None:
            time.sleep(wish["kill_after_s"])
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        print(json.dumps({"status": status, "seconds": time.monotonic() - began_s}), flush=True)


def _live(config_file: str | None, run_dir: Path) -> None:
    try:
        with (run_dir.parent / "output.txt").open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            run_session(_config(config_file, run_dir), make_scorer=Scoreboard, finish=lambda _: None)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _config(config_file: str | None, run_dir: Path) -> RuntimeConfig:
    if config_file is None:
        return load_run(run_dir)
    config = load_toml(Path(config_file))
    return replace(config, run=replace(config.run, run_dir=run_dir))
