"""Reports of runs that were cut short, say odd things, or are none."""

import json
import os

import pytest

from evaluation.report import main, write_report
from evaluation.run_folder import NotARunFolder, read_run
from tests.evaluation.fake_run import FakeRun, read


@pytest.fixture
def run_dir(tmp_path):
    return FakeRun(tmp_path / "run").write()


def test_unlabelled_run_shows_health(tmp_path):
    html = read(FakeRun(tmp_path / "run", labelled=False).write())
    assert "carries no labels" in html
    assert "agreement with frozen" in html
    assert "mIoU (points)" not in html
    assert "Accuracy by class" not in html


def test_torn_last_line_is_survived_and_told(run_dir):
    events = run_dir / "events.jsonl"
    whole = events.read_bytes()
    events.write_bytes(whole + b'{"event":"prediction","fra')
    run = read_run(run_dir)
    assert list(run.events())[-1] is None
    assert len(run.rows("prediction")) == 66
    assert "left out: 1." in read(run_dir)


def test_events_the_disk_refused_are_told(run_dir):
    with (run_dir / "events.jsonl").open("a") as file:
        file.write('{"event": "events_lost", "num_events": 312, "reason": "No space left on device"}\n')
    assert "missing here: 312." in read(run_dir)


def test_run_without_summary_is_reported_from_its_events(run_dir):
    (run_dir / "summary.json").unlink()
    html = read(run_dir)
    assert "has no summary" in html
    assert "p99 latency" in html
    assert "mIoU (points)" in html
    assert "rain_sequence, method styled" in html


def test_half_written_summary_counts_as_none(run_dir):
    (run_dir / "summary.json").write_text('{"schema": 1, "stre')
    assert not read_run(run_dir).is_finished
    assert "has no summary" in read(run_dir)


@pytest.mark.parametrize("content", ["", "\n", '{"event":"run_started"}\n', "not json\n[1]\n"])
def test_barely_begun_run_is_reported(tmp_path, content):
    (tmp_path / "events.jsonl").write_text(content)
    assert "has no summary" in read(tmp_path)


def test_names_from_outside_are_escaped(run_dir):
    hostile = '<img src=x onerror="alert(1)">$x^2$'
    summary = json.loads((run_dir / "summary.json").read_text())
    summary["stream"] = hostile
    summary["quality"]["domains"][1]["name"] = hostile
    summary["quality"]["classes"][1]["name"] = hostile
    (run_dir / "summary.json").write_text(json.dumps(summary))
    rows = [{"event": "prediction", "frame": 0, "latency_ms": 5.0, "version": 0, "confidence": 0.5, "domain": hostile}]
    rows.append({"event": "shift_event", "frame": 0, "kind": hostile, "score": 2.0, "true_domain": hostile})
    (run_dir / "events.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (run_dir / "config.toml").write_text(f"# {hostile}</pre>")
    html = read(run_dir)
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html
    assert html.count("</pre>") == 1


def test_folder_without_a_run_is_an_error_in_one_line(tmp_path, capsys):
    with pytest.raises(NotARunFolder, match="holds neither"):
        write_report(tmp_path)
    assert main(tmp_path / "absent") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "no such run folder" in printed.err


def test_report_verb_prints_the_path(run_dir, capsys):
    assert main(run_dir) == 0
    assert capsys.readouterr().out.strip() == str(run_dir / "report.html")


def test_a_folder_whose_name_is_no_text_is_reported(run_dir):
    moved = run_dir.rename(run_dir.with_name(os.fsdecode(b"caf\xe9")))
    assert "caf?" in write_report(moved).read_text(encoding="utf-8")
