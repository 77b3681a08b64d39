"""Signals ask for an end, and the terminal is left as it was found."""

import os
import signal
import subprocess
import sys
import threading

from runtime.signals import stop_on_signals

COMMAND = (sys.executable, "-c")
INTERRUPTED_TWICE = """
import os, signal, sys, threading
from runtime.signals import stop_on_signals
with stop_on_signals(threading.Event(), threading.Event()):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit("a second Ctrl-C was not heard")
"""


def test_signals_ask_for_an_end_and_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for number in (signal.SIGINT, signal.SIGTERM):
        stop, hurry = threading.Event(), threading.Event()
        with stop_on_signals(stop, hurry):
            os.kill(os.getpid(), number)
            assert stop.wait(10) and hurry.is_set() == (number == signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_second_ctrl_c_ends_at_once_and_shows_the_cursor_again() -> None:
    master, terminal = os.openpty()
    done = subprocess.run([*COMMAND, INTERRUPTED_TWICE], stdout=terminal, stderr=subprocess.PIPE, timeout=60)
    shown = os.read(master, 100)
    os.close(terminal)
    os.close(master)
    assert (done.returncode, done.stderr, shown) == (130, b"", b"\x1b[?25h\r\n")


def test_a_second_ctrl_c_writes_nothing_where_there_is_no_terminal() -> None:
    done = subprocess.run([*COMMAND, INTERRUPTED_TWICE], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (130, b"", b"")
