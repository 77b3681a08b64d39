"""The report of a whole run: what is in it, and that it stands alone."""

import json
import re

import pytest

from tests.evaluation.fake_run import FakeRun, read


@pytest.fixture
def run_dir(tmp_path):
    return FakeRun(tmp_path / "run").write()


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The report of a whole labelled run."""
    return read(FakeRun(tmp_path_factory.mktemp("runs") / "run").write())


def test_report_holds_every_part(html):
    for heading in (
        *("Accuracy by visit", "Over time", "What the camera saw", "Accuracy by class", "Latency", "Adaptation"),
        *("Detected shifts", "Environment", "Configuration"),
    ):
        assert f"<h2>{heading}</h2>" in html
    for label in ("mIoU (points)", "shift score", "version", "loss", "latency (ms)", "share of frames"):
        assert f">{label}</text>" in html
    assert html.count("<svg") == 2
    assert html.count("data:image/png;base64,") == 24
    assert "51.2 ms" in html
    assert "stream = &quot;rain_sequence&quot;" in html
    assert html.count('<tr class=""><td class="">rain_100mm</td>') == 2
    assert html.index("rain_50mm, visit 3") < html.index("rain_200mm, visit 6")


def test_report_loads_nothing_and_runs_nothing(html):
    assert "<script" not in html
    assert re.findall(r'(?:src|xlink:href)="(?!data:|#)[^"]*"', html) == []
    assert "default-src 'none'" in html


def test_gain_and_loss_are_coloured(html):
    assert '<td class="number good">+11.2</td>' in html
    assert '<td class="number bad">-0.3</td>' in html


def test_lost_class_is_marked_and_absent_class_is_a_dash(html):
    assert re.search(r'<tr class="dead"><td class="">rider<span class="badge">lost</span></td>', html)
    assert html.count('class="badge"') == 1
    assert re.search(r'train</td><td class="number">-</td><td class="number">-</td>', html)


def test_frozen_weights_that_changed_are_told(html, run_dir):
    assert 'frozen weights</td><td class="">unchanged' in html
    summary = json.loads((run_dir / "summary.json").read_text())
    summary["adaptation"]["frozen_digest_after"] = "cd" * 32
    (run_dir / "summary.json").write_text(json.dumps(summary))
    assert 'frozen weights</td><td class="">CHANGED' in read(run_dir)


def test_report_tells_of_harm_lags_calibration_and_forgetting(run_dir):
    summary = json.loads((run_dir / "summary.json").read_text())
    summary["track"] = "source-replay"
    reliable = {"pixels": 9, "accuracy": 0.5, "pixels_frozen": 9, "accuracy_frozen": 0.4}
    summary["quality"] |= {
        "worst_window": 0.7,
        "unsafe_classes": ["pole"],
        "lags": [{"visit": 1, "detected": 4, "served": 6}],
        "calibration": {"ece": 0.081, "ece_frozen": 0.2, "bins": [reliable] * 15},
        "forgetting": {"samples": 16, "miou_before": 70.0, "miou_after": 69.2, "points_lost": 0.8, "classes_lost": []},
    }
    (run_dir / "summary.json").write_text(json.dumps(summary))
    html = read(run_dir)
    assert "method styled (source-replay)" in html
    assert "worst 0.7 below frozen" in html
    assert 'pole<span class="badge">hurt</span>' in html
    assert '<td class="number">4</td><td class="number">6</td><td class="number">12</td>' in html
    assert "ECE adapted 8.1 %, frozen 20.0 %" in html
    assert '<div class="value bad">0.8</div><div class="note">points on held-out source</div>' in html


def test_means_over_subsets_stand_below_the_classes(run_dir):
    summary = json.loads((run_dir / "summary.json").read_text())
    row = {"name": "synthia13", "classes": 13, "miou": 41.3, "miou_frozen": None}
    summary["quality"]["subsets"] = [row]
    (run_dir / "summary.json").write_text(json.dumps(summary))
    html = read(run_dir)
    figures = r'<td class="number[^"]*">-</td><td class="number[^"]*">41\.3</td>'
    assert re.search(rf'<tr class="total"><td class="">synthia13, 13 classes</td>{figures}', html)


def test_equal_folders_give_equal_reports(html, tmp_path):
    assert read(FakeRun(tmp_path / "run").write()) == html
