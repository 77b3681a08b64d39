"""The disk writer: in order, never in the way, and never the reason a process cannot end."""

import threading

import pytest

from runtime.disk import HURRIED_S, PATIENCE_S, DiskWriter, Patience
from tests.fakes import ManualClock


def test_jobs_run_in_order_and_tell_what_became_of_them() -> None:
    writer, done = DiskWriter(), []

    def fail() -> None:
        raise OSError("full")

    writings = [writer.submit(lambda: done.append(1)), writer.submit(fail), writer.submit(lambda: 7)]
    assert writer.close(patience_s=60.0)
    assert done == [1] and isinstance(writings[1].exception(), OSError) and writings[2].result() == 7
    with pytest.raises(RuntimeError, match="closed"):
        writer.submit(lambda: None)
    assert writer.close(patience_s=60.0)


def test_a_disk_that_hangs_is_left_behind() -> None:
    writer, release = DiskWriter(), threading.Event()
    writing = writer.submit(release.wait)
    assert not writer.close(patience_s=0.01) and not writing.done()
    release.set()
    assert writing.result(timeout=60.0) and writer.close(patience_s=60.0)


def test_only_waiting_uses_up_patience() -> None:
    clock = ManualClock()
    patience = Patience(lambda: False, clock=clock)
    with patience.waiting() as left_s:
        assert left_s == PATIENCE_S
        clock.advance(PATIENCE_S - 4.0)
    clock.advance(100.0)  # an examination
    with patience.waiting() as left_s:
        assert left_s == 4.0
        clock.advance(7.0)
    with patience.waiting() as left_s:
        assert left_s == 0.0


def test_an_end_that_becomes_urgent_has_what_is_left_of_the_shorter_limit() -> None:
    clock, stop = ManualClock(), threading.Event()
    patience = Patience(stop.is_set, clock=clock)
    with patience.waiting():
        clock.advance(1.5)
    stop.set()
    with patience.waiting() as left_s:
        assert left_s == HURRIED_S - 1.5
