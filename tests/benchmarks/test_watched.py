import os
import threading

import pytest

from benchmarks.cells import Cell, Launch
from benchmarks.watched import await_url, log_of, take_sample, watched_run
from runtime.config import ModelConfig, RuntimeConfig


def test_a_sample_sees_threads_and_descriptors_come_and_go(tmp_path):
    before = take_sample(os.getpid(), at_s=1.0)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / "open").open("w"):
        during = take_sample(os.getpid(), at_s=2.0)
    done.set()
    thread.join()
    assert during.threads == before.threads + 1 and during.descriptors == before.descriptors + 1
    assert 0 < before.anonymous_mb < before.rss_mb


def test_a_process_that_is_gone_has_no_sample():
    with pytest.raises(OSError):
        take_sample(2**22 + 1, at_s=0.0)


def test_a_run_that_ends_before_it_serves_a_page_has_no_address(tmp_path):
    cell = Cell("lost", RuntimeConfig(model=ModelConfig(checkpoint=str(tmp_path / "none.safetensors"))))
    with watched_run(cell, tmp_path / "runs" / "run", launch=Launch()) as process:
        assert await_url(process, log_of(tmp_path / "runs" / "run")) is None
        assert process.returncode == 4
