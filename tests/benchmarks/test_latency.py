import json

import pytest

from benchmarks.latency import LatencyConfig, latency_table, pair_cells, ratio_table, stream_latency
from runtime.option_words import ConfigError


def write_run(folder, method, latencies_ms, *, seed=0, dropped=0):
    folder.mkdir()
    lines = [{"event": "prediction", "latency_ms": ms, "inference_ms": ms / 2} for ms in latencies_ms]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    is_frozen = method == "frozen"
    summary = {
        "method": method,
        "seed": seed,
        "frames": {"captured": len(latencies_ms) + dropped, "dropped": {"stale": dropped}},
        "adaptation": {"steps_applied": 0 if is_frozen else 9, "step_ms": {"p50": None if is_frozen else 80.0}},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def row(tmp_path):
    runs = [
        write_run(tmp_path / "a", "frozen", [10.0] * 4),
        write_run(tmp_path / "b", "styled", [12.0] * 4, dropped=1),
        write_run(tmp_path / "c", "frozen", [20.0] * 4, seed=1),
        write_run(tmp_path / "d", "styled", [30.0] * 4, seed=1),
    ]
    return stream_latency("clear", runs)


def test_ratios_are_within_pairs(row):
    assert row.ratios == ((1.2, 1.2, 1.2), (1.5, 1.5, 1.5))
    assert ratio_table(row).rows[-1] == ("median", "1.35", "1.35", "1.35")


def test_percentiles_are_over_all_frames_of_a_method(row):
    assert row.pooled["frozen"].num == 8
    frozen, styled = latency_table(row).rows
    assert frozen == ("frozen", "15.0", "20.0", "20.0", "20.0", "0 of 8", "0", "-")
    assert styled[0] == "styled (source-replay)" and styled[-4:] == ("30.0", "1 of 9", "18", "80.0")


def test_pairs_alternate_and_share_their_seed():
    cells = pair_cells(LatencyConfig(pairs=2, seconds=3.0), "clear")
    assert [(cell.config.adaptation.method, cell.config.run.seed) for cell in cells] == [
        ("frozen", 0),
        ("styled", 0),
        ("frozen", 1),
        ("styled", 1),
    ]
    assert {(cell.config.run.pace, cell.config.stream.max_frames) for cell in cells} == {("live", 30)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "frozen"}, "--method frozen: expected a method that learns; nearest"),
        ({"pairs": 0}, "--pairs 0"),
        ({"seconds": 0.0}, "--seconds 0.0"),
        ({"cores": 10_000}, "--cores 10000: expected 1 to"),
        ({"size": "256"}, "--size 256"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        LatencyConfig(**options)
