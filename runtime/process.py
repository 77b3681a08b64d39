"""The whole process of a live run: settings made once, before any thread starts, and the way out.

Not done at import, and not by tests: only the command line calls it.
"""

import ctypes
import gc
import io
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

SWITCH_INTERVAL_S = 0.0005
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc malloc.h
TRIM_THRESHOLD_BYTES = 1 << 30
MMAP_THRESHOLD_BYTES = 32 << 20  # glibc takes no more
NUM_ARENAS = 1


def tune_process() -> None:
    """Hand the interpreter over quickly between threads, keep large buffers mapped, and GPU streams apart.

    The default switch interval of 5 ms is a sixth of a frame at 30 fps. By default glibc gives an 8 MB temporary back
    to the kernel and faults it in again at the next use: 8 to 10 ms of a 30 ms forward (SegFormer-B0, 256x512, one
    core). All threads share one arena: with up to eight, what one freed was of no use to the others, and a run whose
    memory in use stayed the same grew by 20 MB/h. CUDA maps streams onto few hardware queues, and two that share one
    wait for each other (pytorch#176582); it reads the number when it starts. Not measured here.

    OpenMP's threads spin where they wait for each other. With more of them than free cores, as when inference and
    learning have two threads each on two cores, they spin away the core the others need, and a forward takes several
    times as long; so they sleep, unless the user set a policy. It is read when torch loads, which is later.

    What an output's encoding cannot spell (a file name in other bytes, a coding without umlauts) is escaped, as Python
    does for errors, and not raised in the midst of a run.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_ARENA_MAX, NUM_ARENAS)


def settle_process() -> None:
    """Keep everything imported by now out of later garbage collections; called once, before a run.

    A full collection walks all objects with the interpreter held, so that no thread answers a frame: 136 ms for the
    250,000 objects that imports leave behind, nothing measurable without them.
    """
    gc.collect()
    gc.freeze()


def release_memory() -> None:
    """Give back to the kernel what is free by now: to build a run takes more memory than stays in use."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc's own, None where there is another C library (musl, macOS)."""
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    return function


def leave(code: int) -> NoReturn:
    """Exit with `code`; at once where a thread was left behind (hung, or in the midst of a long step).

    The interpreter would take such a thread's modules away from under it, which torch answers with an abort.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
