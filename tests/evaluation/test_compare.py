import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from evaluation.bootstrap import Interval
from evaluation.compare import IncomparableRuns, Spread, compare
from evaluation.comparison_figures import FIGURES
from evaluation.comparison_tables import csv_text, json_text, markdown, rich_tables, write_comparison
from evaluation.run_folder import NOTE_FILE, NotARunFolder
from evaluation.slices import SLICES_NAME, SliceKey, SliceLog, write_slices

GOOD = np.array([[9, 1], [1, 9]])
POOR = np.array([[6, 4], [4, 6]])


def write_run(folder, method, seed, *, hmean, frozen=30.0, served_KK=None, **changed):
    """A finished run; with `served_KK` it leaves slices too, in which every frame counts that, and the frozen POOR."""
    folder.mkdir(parents=True)
    domains = [{"name": name, "miou": hmean, "miou_frozen": frozen} for name in ("clear", "rain_25mm")]
    lags = [{"detected": None}, {"detected": 4, "served": None}, {"detected": 7, "served": 30}]
    summary = {
        "stream": "rain_sequence",
        "method": method,
        "track": "none" if method == "frozen" else "source-replay",
        "model": "segformer_b0",
        "seed": seed,
        "pace": "lockstep",
        "size": "256x512",
        "ended": "end",
        "latency_ms": {"capture_to_result": {"p99": 50.0 + seed}},
        "adaptation": {
            "step_ms": {"p50": None if method == "frozen" else 88.0},
            "steps_applied": 100 * seed,
            "forwards_per_frame": 0.5,
            "all_forwards_per_frame": 0.75,
        },
        "quality": {
            "hmean": hmean,
            "hmean_frozen": frozen,
            "worst_drop": -1.0,
            "worst_window": -0.5,
            "windowed": {"miou": hmean - 1, "miou_frozen": frozen - 1},
            "negative_window_share": 0.25,
            "unsafe_classes": ["pole", "fence"],
            "unsafe_visit": None,
            "lags": lags,
            "domains": domains,
        },
    }
    (folder / "summary.json").write_text(json.dumps(summary | changed))
    if served_KK is not None:
        log = SliceLog(2)
        for index in range(100):
            log.add(SliceKey("clear", index // 50, 0), index, served_KK, POOR)
        write_slices(folder / SLICES_NAME, log.slices())
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "f0", "frozen", 0, hmean=30.0),
        write_run(tmp_path / "s0", "styled", 0, hmean=34.0),
        write_run(tmp_path / "s1", "styled", 1, hmean=36.0, frozen=31.0),
        write_run(tmp_path / "s2", "styled", 2, hmean=38.0, frozen=32.0),
    ]


def test_runs_of_one_method_are_told_apart_by_names_and_by_the_code_they_ran(tmp_path):
    plain = write_run(tmp_path / "a", "tent", 0, hmean=31.0)
    searched = write_run(tmp_path / "b", "tent", 0, hmean=32.0)
    (searched / NOTE_FILE).write_text(json.dumps({"code": "0123456789ab", "wall_s": 1.0}))
    comparison = compare([plain, searched], names={searched: "tent@learning-rate=1e-4"})
    assert [row.method for row in comparison.methods] == ["tent@learning-rate=1e-4", "tent"]
    assert [row.codes for row in comparison.methods] == [("0123456789ab",), ()]
    cost = next(part for part in markdown(comparison).split("## ") if part.startswith("Cost"))
    ends = [line.split(" | ")[-1] for line in cost.splitlines() if line.startswith("| tent")]
    assert ends == ["0123456789ab |", "- |"]


def test_the_share_of_the_gap_is_a_column_where_the_oracle_was_run(runs, tmp_path):
    assert "| % of gap |" not in markdown(compare(runs))
    oracle = write_run(tmp_path / "o1", "oracle", 1, hmean=41.0, frozen=31.0)
    comparison = compare([*runs, oracle])
    shares = {row.method: row.figures["gap_closed"] for row in comparison.methods}
    assert (shares["styled"].mean, shares["styled"].num) == (50.0, 1)  # 5 of 10 points, by the one seed both have
    assert shares["oracle"].mean == 100.0 and shares["frozen"].num == 0
    assert "| % of gap |" in markdown(comparison) and "gap_closed_mean" in csv_text(comparison)


def test_means_and_spreads_by_hand(runs):
    comparison = compare(runs)
    styled, frozen = comparison.methods
    assert (frozen.method, frozen.track, frozen.seeds) == ("frozen", "none", (0,))
    assert (styled.method, styled.track, styled.seeds) == ("styled", "source-replay", (0, 1, 2))
    assert styled.figures["hmean"] == Spread(36.0, 2.0, 3)
    assert styled.figures["gain"] == Spread(5.0, 1.0, 3)
    assert styled.figures["windowed"].mean == 35.0 and styled.figures["windowed_frozen"].mean == 30.0
    assert styled.figures["steps"].mean == 100.0
    assert styled.figures["unsafe_classes"].mean == 2.0
    assert styled.figures["unsafe_in_a_visit"].mean == 0.0
    assert styled.figures["detected_frames"].mean == 5.5
    assert styled.figures["served_frames"].mean == 30.0
    assert styled.figures["forgetting"].num == 0
    assert frozen.figures["gain"].mean == 0.0
    assert math.isnan(frozen.figures["hmean"].deviation)
    assert frozen.figures["step_ms"].num == 0
    assert comparison.conditions["stream"] == "rain_sequence"
    assert comparison.visits == ("clear", "rain_25mm")
    assert styled.visits[1] == Spread(36.0, 2.0, 3)
    assert comparison.frozen_visits[0].mean == pytest.approx(30.75)


def test_visits_whose_shift_was_never_found_or_that_nothing_served_are_counted(runs):
    comparison = compare(runs)
    styled = comparison.methods[0]
    never = [styled.figures[name].mean for name in ("later_visits", "detected_never", "served_never")]
    assert never == [2.0, 0.0, 1.0]
    table = next(part for part in markdown(comparison).split("## ") if part.startswith("Lag"))
    assert "| method | track | visits | detected | never | served | never |" in table
    row = "| styled | source-replay | 2 +- 0 | 5.5 +- 0.0 | 0.0 +- 0.0 | 30.0 +- 0.0 | 1.0 +- 0.0 |"
    assert row in table
    parsed = json.loads(json_text(comparison))["methods"][0]["figures"]["served_never"]
    assert parsed == {"mean": 1.0, "deviation": 0.0, "num": 3}


def test_a_stream_of_one_visit_has_no_lags(tmp_path):
    summary = json.loads((write_run(tmp_path / "a", "styled", 0, hmean=40.0) / "summary.json").read_text())
    quality = summary["quality"] | {"lags": [{"detected": None, "served": None}]}
    assert "## Lag" not in markdown(compare([write_run(tmp_path / "b", "styled", 0, hmean=40.0, quality=quality)]))


def test_methods_stand_by_gain_then_cost_then_name(tmp_path):
    gains = {"b": 1.0, "worst": -2.0, "best": 4.0, "a": 1.0, "cheap": 1.0}
    runs = [write_run(tmp_path / name, name, 0, hmean=30.0 + gain) for name, gain in gains.items()]
    runs.append(write_run(tmp_path / "blind", "blind", 0, hmean=0.0, quality=None))
    summary = json.loads((tmp_path / "cheap" / "summary.json").read_text())
    summary["adaptation"]["forwards_per_frame"] = 0.1
    (tmp_path / "cheap" / "summary.json").write_text(json.dumps(summary))
    assert [row.method for row in compare(runs).methods] == ["best", "cheap", "a", "b", "worst", "blind"]


def test_intervals_come_from_slices_and_seeds(tmp_path):
    runs = [
        write_run(tmp_path / "s0", "styled", 0, hmean=80.0, served_KK=GOOD),
        write_run(tmp_path / "s1", "styled", 1, hmean=80.0, served_KK=GOOD),
        write_run(tmp_path / "d0", "dacs", 0, hmean=40.0, served_KK=POOR),
    ]
    styled, dacs = compare(runs).methods
    good, poor = 100 * 9 / 11, 100 * 6 / 14  # every frame alike: nothing varies
    assert styled.intervals["hmean"] == Interval(pytest.approx(good), pytest.approx(good))
    assert styled.intervals["gain"] == Interval(pytest.approx(good - poor), pytest.approx(good - poor))
    assert styled.intervals["lead"] == styled.intervals["gain"]
    assert dacs.intervals["gain"] == Interval(0.0, 0.0)
    assert "lead" not in dacs.intervals
    assert "| +50.0 +- 0.0 | [+39.0, +39.0] |" in markdown(compare(runs))


def test_markdown(runs):
    lines = markdown(compare(runs)).splitlines()
    assert "| method | track | runs | hmean | frozen | gain | F/frame |" in lines
    assert "| --- | --- | ---: | ---: | ---: | ---: | ---: |" in lines
    assert "| frozen | none | 1 | 30.0 | 30.0 | +0.0 | 0.50 |" in lines
    assert "| styled | source-replay | 3 | 36.0 +- 2.0 | 31.0 +- 1.0 | +5.0 +- 1.0 | 0.50 +- 0.00 |" in lines
    assert "| frozen | none | -1.0 | -0.5 | 0.25 | 2.0 | 0.0 |" in lines
    assert "| visit | frozen (shadow) | styled (source-replay) | frozen |" in lines
    assert "| rain_25mm | 30.8 | 36.0 +- 2.0 | 30.0 |" in lines


def test_figures_that_no_run_has_have_no_column(runs):
    text = markdown(compare(runs))
    assert "forgotten" not in text and "worst later round" not in text
    assert "worst window" in text


def test_csv_and_json_hold_the_same_figures(runs):
    comparison = compare(runs)
    styled, frozen = csv.DictReader(io.StringIO(csv_text(comparison)))
    assert float(styled["gain_mean"]) == 5.0
    assert frozen["step_ms_mean"] == "" == frozen["gain_low"]
    assert {f"{name}_mean" for name in FIGURES} < styled.keys()
    parsed = json.loads(json_text(comparison))
    assert parsed["methods"][0]["figures"]["gain"] == {"mean": 5.0, "deviation": 1.0, "num": 3}
    assert parsed["methods"][1]["figures"]["step_ms"]["mean"] is None


def test_terminal_tables_fit_eighty_columns(runs, tmp_path):
    runs.append(write_run(tmp_path / "d0", "dacs", 0, hmean=31.0, served_KK=GOOD))
    console = Console(file=io.StringIO(), width=80)
    console.print(rich_tables(compare(runs)))
    shown = console.file.getvalue()
    assert re.search(r"styled +source-replay +36.0 +\+5.0", shown)
    assert "\u2026" not in shown


def test_terminal_tables_fit_eighty_columns_where_every_figure_is_known(runs):
    comparison = compare(runs)
    figures = dict.fromkeys(FIGURES, Spread(-12.3, 1.5, 3)) | {"memory_mb": Spread(1234.0, 1.0, 3)}
    bounds = dict.fromkeys(("gain", "lead"), Interval(-12.3, 12.3))
    styled, frozen = (replace(row, figures=figures, intervals=bounds) for row in comparison.methods)
    methods = (replace(styled, method="hamlet_released"), frozen)
    console = Console(file=io.StringIO(), width=80)
    console.print(rich_tables(replace(comparison, methods=methods)))
    shown = console.file.getvalue()
    assert "\u2026" not in shown and "[-12.3, +12.3]" in shown and "F/frame" in shown


def test_the_page_holds_tables_and_drawings_and_loads_nothing(runs, tmp_path):
    runs.append(write_run(tmp_path / "d0", "dacs", 0, hmean=31.0, served_KK=GOOD))
    html = write_comparison(compare(runs), tmp_path / "out").read_text()
    assert '<td class="number good">+5.0 +- 1.0</td>' in html
    assert "mIoU by visit" in html
    assert "mIoU over windows" in html and html.count("<svg") == 4
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", html)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".html", ".json", ".md"]


def test_unlabelled_runs_compare_by_their_costs(tmp_path):
    run = write_run(tmp_path / "a", "styled", 1, hmean=1.0, quality=None)
    comparison = compare([run])
    assert comparison.visits == ()
    assert "| styled | source-replay | 100 | 88.0 | 0.75 | 51.0 |" in markdown(comparison)
    assert write_comparison(comparison, tmp_path / "out").is_file()


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
