"""The disk writer: in order, never in the way, and never the reason a process cannot end."""

import threading

import pytest

from runtime.disk import DiskWriter


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
