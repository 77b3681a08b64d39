"""Sections of the report beyond accuracy by visit, each from its part of a summary and empty without it."""

import json

import pytest

from evaluation import findings
from evaluation.run_folder import read_run


def run_with(folder, **quality):
    (folder / "events.jsonl").write_text("")
    (folder / "summary.json").write_text(json.dumps({"quality": quality}))
    return read_run(folder)


SECTIONS = (
    findings.timed_section,
    findings.calibration_section,
    findings.recurrence_section,
    findings.rounds_section,
    findings.source_section,
)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_run_that_has_nothing_to_tell_leaves_no_section(section, tmp_path):
    assert section(run_with(tmp_path)) == ""
    assert section(run_with(tmp_path, rounds=[{"round": 0, "hmean": 3.0}], calibration={"bins": []})) == ""


def test_lateness_is_shown_with_its_curve(tmp_path):
    deadlines = [{"deadline_ms": ms, "miou": ms / 10, "hmean": ms / 20} for ms in (50.0, 100.0, 1000.0)]
    run = run_with(tmp_path, streaming={"miou": 31.0, "hmean": 25.0}, deadline=deadlines[1], deadlines=deadlines)
    html = findings.timed_section(run)
    assert "deadline 100 ms, one frame" in html and '<td class="number">25.0</td>' in html and "<svg" in html


def test_calibration_is_in_percent(tmp_path):
    bins = [{"pixels": 10, "accuracy": 0.5, "pixels_frozen": 10, "accuracy_frozen": 0.4}] * 15
    html = findings.calibration_section(
        run_with(tmp_path, calibration={"ece": 0.123, "ece_frozen": 0.2, "bins": bins})
    )
    assert "ECE adapted 12.3 %, frozen 20.0 %" in html and "<svg" in html


def test_recurrence_and_rounds_and_source(tmp_path):
    domain = {"name": "rain<", "visits": 3, "first": 20.0, "later": 26.0, "first_frozen": 10.0, "later_frozen": 11.0}
    html = findings.recurrence_section(run_with(tmp_path, recurrence={"domains": [domain]}))
    assert "rain&lt;" in html and '<td class="number good">+6.0</td>' in html and '<td class="number">1.0</td>' in html
    rounds = [{"round": n, "hmean": 30.0 - n, "hmean_frozen": 25.0} for n in range(2)]
    html = findings.rounds_section(run_with(tmp_path, rounds=rounds, worst_later_round=-1.0))
    assert html.count("<tr") == 3 and "first: -1.0." in html
    forgotten = {"samples": 16, "miou_before": 70.0, "miou_after": 69.2, "points_lost": 0.8, "classes_lost": ["pole"]}
    html = findings.source_section(run_with(tmp_path, forgetting=forgotten))
    assert "16 source samples" in html and '"">0.8</td>' in html and '"">pole</td>' in html
