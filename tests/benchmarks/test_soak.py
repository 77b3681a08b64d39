import json
import math
import re

import numpy as np
import pytest

from benchmarks.soak import SoakConfig, main, soak_cell
from benchmarks.soak_verdict import is_constant, judge, tenths, verdict_table
from benchmarks.watched import Sample
from runtime.option_words import ConfigError


def samples(*, growth_mb_per_h=0.0, threads=9):
    """Every 5 s for 20 minutes; in the first five the process still grows by 100 MB."""
    for position in range(240):
        at_s = position * 5.0
        warm_mb = min(at_s / 300, 1.0) * 100
        rss_mb = 400 + warm_mb + growth_mb_per_h * at_s / 3600
        yield Sample(at_s, rss_mb, rss_mb - 150, threads + (position == 200), 20 + position % 7 % 2)


@pytest.fixture
def run_dir(tmp_path):
    """Ten answers a second; a slow start, then 20 ms, and in the last 90 seconds a tenth of them 24 ms."""
    lines = []
    for position in range(12_000):
        t_s = position / 10
        latency_ms = 80.0 if t_s < 300 else 24.0 if t_s > 1110 and position % 10 == 0 else 20.0
        lines.append({"event": "prediction", "t_s": t_s, "frame": position, "latency_ms": latency_ms})
        lines.append({"event": "shadow_prediction", "frame": position, "duration_ms": 1.0})
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = {
        "frames": {"captured": 12_500, "predicted": 12_000},
        "adaptation": {"steps_applied": 900, "last_version": 950},
        "num_shifts": 60,
        "quality": {"domains": [{"visit": 158}, {"visit": 159}]},
    }
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def test_only_what_follows_the_warm_up_is_judged(run_dir):
    soak = judge(list(samples(growth_mb_per_h=3.0)), [400] * 240, run_dir, minutes=20.0, warmup=5.0)
    assert soak.rss.slope_per_h == pytest.approx(3.0) and soak.anonymous.slope_per_h == pytest.approx(3.0)
    assert [tenth.num for tenth in soak.tenths] == [900] * 10
    assert soak.p99_ratio == pytest.approx(24.0 / 20.0)
    assert (soak.visits, soak.steps, soak.captured, len(soak.threads)) == (160, 900, 12_500, 180)


def test_each_bound_has_its_verdict(run_dir):
    grown = judge(list(samples(growth_mb_per_h=3.0)), [400] * 230 + [401] * 10, run_dir, minutes=20.0, warmup=5.0)
    assert [row[-1] for row in verdict_table(grown).rows] == ["NO", "yes", "yes", "NO", "NO"]
    steady = judge(list(samples(growth_mb_per_h=0.5)), [400] * 240, run_dir, minutes=20.0, warmup=5.0)
    assert [row[-1] for row in verdict_table(steady).rows] == ["yes", "yes", "yes", "yes", "NO"]
    assert verdict_table(steady).rows[1][1] == "9 to 10"


def test_a_count_that_ends_higher_than_it_began_is_not_constant():
    assert is_constant([9] * 30) and is_constant([9, 9, 12, 9, 9, 9])
    assert not is_constant([9] * 20 + [10] * 10)
    assert not is_constant(list(range(9, 39)))


def test_tenths_with_too_few_frames_say_nothing():
    parts = tenths(np.arange(50.0), np.ones(50), warmup_s=0.0)
    assert [part.num for part in parts] == [5] * 10
    assert math.isnan(tenths(np.empty(0), np.empty(0), warmup_s=60.0)[0].p99)


def test_the_run_outlasts_its_time_at_ten_times_the_rate():
    stream = soak_cell(SoakConfig(minutes=20.0, stream="rain_sequence")).config.stream
    assert stream.fps == 100.0
    assert stream.rounds * 825 > 20 * 60 * 100


def test_learning_computes_when_it_is_told_to():
    config = soak_cell(SoakConfig(speed_up=1.0, adapt="thread")).config
    assert (config.stream.fps, config.run.adapt) == (10.0, "thread")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"minutes": 5.0, "warmup": 5.0}, "--warmup 5.0: expected 0 to less than --minutes 5.0"),
        ({"method": "no"}, "--method no"),
        ({"every": 0.0}, "--every 0.0"),
        ({"cores": 10_000}, "--cores 10000: expected 1 to"),
        ({"size": "256"}, "--size 256"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        SoakConfig(**options)


@pytest.mark.faults
def test_a_few_seconds_of_the_real_thing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"--minutes": 0.1, "--warmup": 0, "--every": 0.5, "--stream": "clear", "--cores": 1}
    assert main([str(word) for pair in options.items() for word in pair]) == 0
    assert re.search(r"time series in /metrics +\d+ +constant +yes", capsys.readouterr().out)
    (kept,) = tmp_path.glob("runs/bench-soak/*/soak.json")
    data = json.loads(kept.read_text())["data"]
    assert data["predicted"] > 0 and len(data["samples"]) >= 2 and data["rss_mb"][0] > 50
