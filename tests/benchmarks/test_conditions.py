import numpy as np
import pytest
import torch

from benchmarks.conditions import MEASURED_PACKAGES, Percentiles, code_digest, compute_device, describe, measure_in_turn
from runtime.option_words import ConfigError
from tests.fakes import ManualClock

CPU = torch.device("cpu")


def test_functions_are_measured_in_turn_and_warm_up_does_not_count():
    clock, calls = ManualClock(), []

    def work(name, durations_s):
        calls.append(name)
        clock.advance(durations_s.pop(0))

    first, second = [9.0, 1.0, 2.0], [9.0, 4.0, 3.0]
    times_ms = measure_in_turn(
        (lambda: work("a", first), lambda: work("b", second)), device=CPU, num_warmup=1, num_rounds=2, clock=clock
    )
    assert calls == ["a", "b"] * 3
    np.testing.assert_allclose(times_ms, [[1000, 4000], [2000, 3000]])


def test_percentiles_of_known_samples():
    percentiles = Percentiles.of(np.arange(101.0))
    assert (percentiles.p50, percentiles.p95, percentiles.p99, percentiles.num) == (50.0, 95.0, 99.0, 101)


def test_percentiles_of_nothing_are_unknown():
    assert np.isnan(Percentiles.of(np.array([])).p99)


def test_conditions_name_device_versions_and_threads():
    conditions = describe("cpu", threads=3)
    assert (conditions.device, conditions.threads, conditions.torch) == ("cpu", 3, torch.__version__)
    assert conditions.cpu
    assert conditions.cores >= 1
    assert all("\n" not in line for line in conditions.lines())


def test_the_code_digest_follows_the_measured_packages(tmp_path):
    for package in MEASURED_PACKAGES:
        (tmp_path / package).mkdir()
    before = code_digest(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert code_digest(tmp_path) == before
    (tmp_path / "runtime" / "slot.py").write_text("x = 1\n")
    assert code_digest(tmp_path) != before


def test_a_device_that_is_not_there_is_refused_in_a_line():
    assert compute_device("cpu") == CPU
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a CUDA device")
    with pytest.raises(ConfigError, match="--device cuda: no CUDA device"):
        compute_device("cuda")
