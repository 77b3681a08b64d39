import json
import math

import pytest

from benchmarks.figures import overview_table, quality_figures, return_difference, visit_table


def visit(name, miou, frozen):
    return {"name": name, "miou": miou, "miou_frozen": frozen}


def write_run(folder, seed, domains, *, method="styled", **quality):
    folder.mkdir()
    scores = {
        "hmean": 40.0 + seed,
        "hmean_frozen": 35.0,
        "worst_drop": 0.5,
        "negative_window_share": 0.25,
        "worst_window": 1.0 + seed,
        "unsafe_classes": ["pole", "fence"],
        "unsafe_visit": {"visit": 1, "classes": ["pole", "fence", "car"]},
        "forgetting": {"points_lost": 0.4},
    }
    summary = {
        "stream": "rain_sequence",
        "method": method,
        "track": "source-replay",
        "model": "segformer_b0",
        "seed": seed,
        "pace": "lockstep",
        "size": "64x128",
        "ended": "end",
        "num_shifts": 3,
        "adaptation": {
            "step_ms": {"p50": 20.0},
            "steps_applied": 100,
            "forwards_per_frame": 0.25,
            "all_forwards_per_frame": 0.5,
        },
        "quality": scores | {"domains": domains} | quality,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def rows(tmp_path):
    first = write_run(tmp_path / "a", 0, [visit("clear", 60, 60), visit("rain", 30, 20), visit("clear", 59, 60)])
    second = write_run(tmp_path / "b", 1, [visit("clear", 61, 61), visit("rain", 32, 18), visit("clear", 60, 60)])
    return quality_figures("rain_sequence on camvid", [first, second])


def test_differences_are_within_a_run(rows):
    rain = rows.visits[1]
    assert (rain.frozen.mean, rain.adapted.mean, rain.difference.mean) == (19.0, 31.0, 12.0)
    assert rain.difference.deviation == pytest.approx(math.sqrt(8))  # of 10 and 14


def test_overview_holds_gain_return_and_cost(rows):
    assert rows.figures["gain"].mean == 5.5
    assert rows.figures["return_difference"].mean == -0.5
    table = overview_table([rows])
    (line,) = table.rows
    assert line[0] == "rain_sequence on camvid, styled (source-replay)"
    assert line[-4:] == ("100 +- 0", "20.0 +- 0.0", "0.25 +- 0.00", "0.50 +- 0.00")


def test_overview_holds_what_harm_was_done(rows):
    table = overview_table([rows])
    shown = dict(zip(table.header, table.rows[0], strict=True))
    harms = {"worst window": "1.5 +- 0.7", "classes hurt": "2.0 +- 0.0", "in one visit": "3.0 +- 0.0"}
    assert harms.items() <= shown.items()
    assert shown["forgotten"] == "0.4 +- 0.0"


def test_the_share_of_the_gap_is_shown_where_the_oracle_was_run(tmp_path, rows):
    """Gains of 5 and 6 beside the oracle's 10 and 8."""
    domains = [visit("clear", 70, 60)]
    oracle = [
        write_run(tmp_path / f"o{seed}", seed, domains, method="oracle", hmean=35.0 + gain)
        for seed, gain in enumerate((10, 8))
    ]
    own = [tmp_path / "a", tmp_path / "b"]
    styled = quality_figures("rain_sequence", own, ceiling=oracle)
    assert (styled.method, styled.seeds) == ("styled", (0, 1)) and styled.figures["gap_closed"].mean == 62.5
    ceiling = quality_figures("rain_sequence", oracle, ceiling=oracle)
    assert ceiling.method == "oracle" and ceiling.figures["gap_closed"].mean == 100.0
    table = overview_table([styled, ceiling, rows])
    shown = [line[table.header.index("% of gap")] for line in table.rows]
    assert shown == ["62 +- 18", "100 +- 0", "-"]
    assert "% of gap" not in overview_table([rows]).header


def test_visit_table_keeps_the_order_of_the_stream(rows):
    assert [line[0] for line in visit_table(rows).rows] == ["0 clear", "1 rain", "2 clear"]


def test_return_takes_the_least_favourable_later_visit_to_the_first_domain():
    visits = [visit("clear", 50, 60), visit("rain", 1, 9), visit("clear", 58, 60), visit("clear", 61, 60)]
    assert return_difference(visits) == -2


def test_return_is_unknown_where_the_first_domain_never_comes_back():
    assert math.isnan(return_difference([visit("dusk", 50, 60)]))
    assert math.isnan(return_difference([]))


def test_an_unlabelled_run_has_no_visits_and_unknown_figures(tmp_path):
    run = write_run(tmp_path / "run", 0, [])
    summary = json.loads((run / "summary.json").read_text()) | {"quality": None}
    (run / "summary.json").write_text(json.dumps(summary))
    row = quality_figures("camera:0", [run])
    assert row.visits == ()
    assert math.isnan(row.figures["gain"].mean)
