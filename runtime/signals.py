"""Ctrl-C and SIGTERM: the first asks for an orderly end, SIGTERM for a quick one; a second Ctrl-C ends at once.

While a run is being built there is nothing to end in order, and a Ctrl-C ends it at once.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_INTERRUPTED = 130
STDOUT = 1
SHOW_CURSOR = b"\x1b[?25h\n"  # and a new line for the prompt


@contextlib.contextmanager
def nothing_written() -> Iterator[None]:
    """A Ctrl-C within says that it left nothing behind."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted before the first frame; nothing was written") from None


@contextlib.contextmanager
def stop_on_signals(stop: threading.Event, hurry: threading.Event) -> Iterator[None]:
    """SIGINT or SIGTERM sets `stop`, SIGTERM `hurry` too; a second SIGINT ends the process at once with 130."""

    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            _show_cursor()
            os._exit(EXIT_INTERRUPTED)
        if number == signal.SIGTERM:
            hurry.set()
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may hear signals
        yield
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _show_cursor() -> None:
    """The live panel hides it. Written past sys.stdout, which the signal may have come in the midst of."""
    with contextlib.suppress(OSError):  # of a terminal that was closed
        if os.isatty(STDOUT):
            os.write(STDOUT, SHOW_CURSOR)
