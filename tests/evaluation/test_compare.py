import csv
import io
import json
import math

import pytest
from rich.console import Console

from evaluation.compare import IncomparableRuns, Spread, compare, fill_grid
from evaluation.comparison_tables import csv_text, json_text, markdown, rich_table, write_comparison
from evaluation.run_folder import NotARunFolder


def write_run(folder, method, seed, *, hmean, frozen=30.0, **changed):
    folder.mkdir(parents=True)
    domains = [{"name": name, "miou": hmean, "miou_frozen": frozen} for name in ("clear", "rain_25mm")]
    summary = {
        "stream": "rain_sequence",
        "method": method,
        "model": "segformer_b0",
        "seed": seed,
        "pace": "lockstep",
        "size": "256x512",
        "ended": "end",
        "latency_ms": {"capture_to_result": {"p99": 50.0 + seed}},
        "adaptation": {"step_ms": {"p50": None if method == "frozen" else 88.0}, "steps_applied": 100 * seed},
        "quality": {
            "hmean": hmean,
            "hmean_frozen": frozen,
            "worst_drop": -1.0,
            "negative_window_share": 0.25,
            "domains": domains,
        },
    }
    (folder / "summary.json").write_text(json.dumps(summary | changed))
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "f0", "frozen", 0, hmean=30.0),
        write_run(tmp_path / "s0", "styled", 0, hmean=34.0),
        write_run(tmp_path / "s1", "styled", 1, hmean=36.0, frozen=31.0),
        write_run(tmp_path / "s2", "styled", 2, hmean=38.0, frozen=32.0),
    ]


def test_means_and_spreads_by_hand(runs):
    comparison = compare(runs)
    frozen, styled = comparison.methods
    assert (frozen.method, frozen.seeds) == ("frozen", (0,))
    assert (styled.method, styled.seeds) == ("styled", (0, 1, 2))
    assert styled.figures["hmean"] == Spread(36.0, 2.0, 3)
    assert styled.figures["gain"] == Spread(5.0, 1.0, 3)
    assert styled.figures["steps"].mean == 100.0
    assert frozen.figures["gain"].mean == 0.0
    assert math.isnan(frozen.figures["hmean"].deviation)
    assert frozen.figures["step_ms"].num == 0
    assert comparison.conditions["stream"] == "rain_sequence"
    assert comparison.visits == ("clear", "rain_25mm")
    assert styled.visits[1] == Spread(36.0, 2.0, 3)
    assert comparison.frozen_visits[0].mean == pytest.approx(30.75)


def test_markdown(runs):
    lines = markdown(compare(runs)).splitlines()
    assert "| frozen | 1 | 30.0 | 30.0 | +0.0 | -1.0 | 0.25 | 50.0 | - | 0 |" in lines
    assert "| styled | 3 | 36.0 +- 2.0 | 31.0 +- 1.0 | +5.0 +- 1.0 | -1.0 +- 0.0 |" in "\n".join(lines)
    assert "| rain_25mm | 30.8 | 30.0 | 36.0 +- 2.0 |" in lines


def test_csv_and_json_hold_the_same_figures(runs):
    comparison = compare(runs)
    frozen, styled = csv.DictReader(io.StringIO(csv_text(comparison)))
    assert float(styled["gain_mean"]) == 5.0
    assert frozen["step_ms_mean"] == ""
    parsed = json.loads(json_text(comparison))
    assert parsed["methods"][1]["figures"]["gain"] == {"mean": 5.0, "deviation": 1.0, "num": 3}
    assert parsed["methods"][0]["figures"]["step_ms"]["mean"] is None


def test_terminal_table_and_page(runs, tmp_path):
    console = Console(file=io.StringIO(), width=160)
    console.print(rich_table(compare(runs)))
    assert "+5.0 +- 1.0" in console.file.getvalue()
    html = write_comparison(compare(runs), tmp_path / "out").read_text()
    assert '<td class="number good">+5.0 +- 1.0</td>' in html
    assert "mIoU by visit" in html
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".html", ".json", ".md"]


def test_unlabelled_runs_compare_by_their_costs(tmp_path):
    run = write_run(tmp_path / "a", "styled", 1, hmean=1.0, quality=None)
    comparison = compare([run])
    assert comparison.visits == ()
    assert "| styled | 1 | - | - | - | - | - | 51.0 | 88.0 | 100 |" in markdown(comparison)


def test_runs_of_different_streams_are_refused(runs, tmp_path):
    other = write_run(tmp_path / "fog", "styled", 5, hmean=30.0, stream="fog_sequence")
    with pytest.raises(IncomparableRuns, match="stream is fog_sequence, expected rain_sequence"):
        compare([*runs, other])


def test_one_cell_twice_is_refused(runs, tmp_path):
    with pytest.raises(IncomparableRuns, match="two runs of one seed"):
        compare([*runs, write_run(tmp_path / "again", "styled", 1, hmean=30.0)])


def test_nothing_and_unfinished_runs_are_refused(tmp_path):
    with pytest.raises(IncomparableRuns, match="no runs"):
        compare([])
    with pytest.raises(NotARunFolder, match="no readable summary"):
        compare([tmp_path])


def test_grid_runs_only_what_is_missing(tmp_path):
    known = [
        write_run(tmp_path / "a", "styled", 0, hmean=34.0),
        write_run(tmp_path / "b", "styled", 1, hmean=34.0, ended="interrupted"),
        tmp_path / "nothing",
    ]
    launched = []

    def run_one(method, seed):
        launched.append((method, seed))
        return write_run(tmp_path / f"new-{method}-{seed}", method, seed, hmean=33.0)

    cells = fill_grid(["frozen", "styled"], [0, 1], run_one=run_one, known=known)
    assert launched == [("frozen", 0), ("frozen", 1), ("styled", 1)]
    assert [cell.name for cell in cells] == ["new-frozen-0", "new-frozen-1", "a", "new-styled-1"]
    assert [row.seeds for row in compare(cells).methods] == [(0, 1), (0, 1)]
