"""Settings of the process are made in time, and the user's own stay; it ends, also with a thread that never returns."""

import ctypes
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


STUCK = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
SAY = "print('said')\nimport sys; from runtime.process import leave\nprint('complained', file=sys.stderr)\nleave({})"


@pytest.mark.parametrize("prelude", ["", STUCK])
@pytest.mark.parametrize("code", [0, 70])
def test_what_was_said_and_the_code_get_out(prelude, code) -> None:
    script = prelude + SAY.format(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (code, "said\n", "complained\n")


MEMORY = """
import threading
from pathlib import Path
from runtime.process import release_memory, tune_process

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

def filled():
    return [bytearray(b"x" * 2**20) for _ in range(200)]

def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

tune_process()
"""
GIVEN_BACK = """
blocks = filled()
kept = blocks[-1]
del blocks
before = resident_mb()
release_memory()
print(round(before - resident_mb()))
"""
USED_AGAIN = """
is_freed, is_read = threading.Event(), threading.Event()

def fill_and_stay():
    filled()
    is_freed.set()
    is_read.wait()

first = threading.Thread(target=fill_and_stay)
first.start()
is_freed.wait()
before = resident_mb()
in_a_thread(filled)
print(round(resident_mb() - before))
is_read.set()
"""
on_glibc = pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")),
    reason="another C library than glibc, which gives back by itself or not at all",
)


def printed_mb(script: str) -> int:
    done = subprocess.run([sys.executable, "-c", MEMORY + script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@on_glibc
def test_memory_that_lies_free_is_given_back() -> None:
    assert printed_mb(GIVEN_BACK) >= 150


@on_glibc
def test_what_one_thread_freed_another_uses() -> None:
    assert printed_mb(USED_AGAIN) <= 10


def test_what_the_output_cannot_spell_is_escaped() -> None:
    script = "from runtime.process import tune_process; tune_process(); print('caf\\udce9')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "caf\\udce9\n", "")
