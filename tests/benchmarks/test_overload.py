import json

import pytest

from benchmarks.overload import (
    OverloadConfig,
    capacity_cell,
    capacity_of,
    overload_cells,
    overload_of,
    overload_table,
)
from runtime.option_words import ConfigError


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    lines = [{"event": "prediction", "latency_ms": 30.0 + age, "inference_ms": 30.0} for age in (5.0, 10.0, 151.0)]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    levels = {"full": {"frames": 2, "seconds": 0.1}, "off": {"frames": 1, "seconds": 0.05}}
    summary = {
        "seed": 4,
        "fps": {"stream": 100.0},
        "frames": {"captured": 9, "dropped": {"stale": 6}},
        "latency_ms": {"inference": {"p50": 25.0}},
        "adaptation": {"steps_applied": 2, "levels": levels},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_figures_are_of_ages_at_the_start_of_inference_and_at_the_result(run_dir):
    row = overload_of(run_dir)
    assert (row.max_latency_ms, row.overdue, row.fits) == (181.0, 1, True)
    assert (row.max_age_ms, row.limit_ms, row.too_old) == (151.0, 150.0, 1)
    assert (row.age_ms.p50, row.latency_ms.p50) == (10.0, 40.0)
    assert (row.captured, row.predicted, row.dropped, row.steps) == (9, 3, {"stale": 6}, 2)
    assert row.levels == {"full": 2, "off": 1}
    table = overload_table([row], OverloadConfig(factor=3.0), 40.0)
    assert len(table.header) == len(table.rows[0]) and table.rows[0][-1] == "2 full, 1 off"
    shown = "Frames at 3.0 times the capacity of 40.0 frames per second, learning by styled (source-replay)"
    assert table.title == shown


def test_results_are_held_to_the_limit_only_where_there_is_room_for_it(run_dir):
    lines = [{"event": "prediction", "latency_ms": 141.5 + age, "inference_ms": 141.5} for age in (1.0, 9.0)]
    (run_dir / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    row = overload_of(run_dir)
    assert (row.fits, row.overdue, row.too_old) == (False, 1, 0)  # 141.5 and a period of 10 are more than 150


def test_capacity_is_what_inference_alone_could_answer(run_dir):
    assert capacity_of(run_dir) == 40.0
    assert capacity_cell(OverloadConfig()).config.run.pace == "max"


def test_runs_get_factor_times_the_capacity():
    config = OverloadConfig(factor=3.0, runs=2, seconds=10.0)
    cells = overload_cells(config, 20.0)
    assert [cell.config.run.seed for cell in cells] == [0, 1]
    for cell in cells:
        assert (cell.config.stream.fps, cell.config.stream.max_frames, cell.config.run.pace) == (60.0, 600, "live")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "frozen"}, "--method frozen: expected a method that learns"),
        ({"factor": 0.0}, "--factor 0.0"),
        ({"seconds": -1.0}, "--seconds -1.0"),
        ({"runs": 0}, "--runs 0"),
        ({"cores": 10_000}, "--cores 10000: expected 1 to"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_line(options, words):
    with pytest.raises(ConfigError, match=words):
        OverloadConfig(**options)
