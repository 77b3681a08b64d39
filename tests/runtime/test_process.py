"""Settings of the process are made in time, and the user's own stay."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from runtime.process import SWITCH_INTERVAL_S, tune_process
from benchmarks import cli
assert "torch" not in sys.modules, "OpenMP would read its settings before they are made"
tune_process()
assert abs(sys.getswitchinterval() - SWITCH_INTERVAL_S) < 1e-6
print(os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_idle_threads_sleep_unless_the_user_wants_otherwise(given, found) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{found}\n", "")
