"""Once a minute, off the observing thread, and not while the disk hangs."""

import threading

import pytest

from runtime.disk import DiskWriter
from runtime.upkeep import EVERY_S, Upkeep
from tests.fakes import ManualClock, make_run_finished, make_step


@pytest.fixture
def writer():
    made = DiskWriter()
    yield made
    assert made.close(patience_s=60.0)


def test_upkeep_is_done_once_a_minute_by_the_disk_writer(writer) -> None:
    clock, done = ManualClock(), []
    upkeep = Upkeep(writer, lambda: done.append((clock(), threading.current_thread().name)), clock=clock)
    for _ in range(25):
        upkeep.observe(make_step())
        writer.submit(int).result(timeout=60)
        clock.advance(EVERY_S / 10)
    assert done == [(100.0 + EVERY_S, "disk"), (100.0 + 2 * EVERY_S, "disk")]


def test_while_the_disk_hangs_nothing_piles_up(writer) -> None:
    clock, done, release = ManualClock(), [], threading.Event()
    upkeep = Upkeep(writer, lambda: done.append(clock()), clock=clock)
    writer.submit(release.wait)
    for _ in range(5):
        clock.advance(EVERY_S)
        upkeep.observe(make_step())
    release.set()
    writer.submit(int).result(timeout=60)
    assert len(done) == 1


def test_after_the_end_of_the_run_the_writer_is_left_alone() -> None:
    clock, writer = ManualClock(), DiskWriter()
    upkeep = Upkeep(writer, lambda: None, clock=clock)
    upkeep.observe(make_run_finished())
    assert writer.close(patience_s=60.0)
    clock.advance(2 * EVERY_S)
    upkeep.observe(make_step())  # a fault found late is told to every observer too
