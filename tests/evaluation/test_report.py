import json
import re

import matplotlib.image
import numpy as np
import pytest

from evaluation.report import main, write_report
from evaluation.run_folder import NotARunFolder, read_run

NAMES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic_light", "traffic_sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
RAIN = (0, 25, 50, 75, 100, 200, 100, 75, 50, 25, 0)
DOMAINS = tuple(f"rain_{rate}mm" if rate else "clear" for rate in RAIN)
FROZEN = {0: 72.0, 25: 63.0, 50: 52.0, 75: 44.0, 100: 38.0, 200: 27.0}


class FakeRun:
    """Writes a plausible run folder: `rain_sequence` over a few frames per visit, adapted better than frozen."""

    def __init__(self, path, *, frames_per_visit=6, labelled=True, method="styled", gain=9.0, seed=0):
        self.path = path
        self.frames_per_visit = frames_per_visit
        self.labelled = labelled
        self.method = method
        self.gain = gain
        self.rng = np.random.default_rng(seed)
        self.seed = seed

    def write(self):
        (self.path / "previews").mkdir(parents=True)
        (self.path / "config.toml").write_text('[stream]\nstream = "rain_sequence"\n\n[run]\npace = "lockstep"\n')
        self.write_events()
        (self.path / "summary.json").write_text(json.dumps(self.summary()))
        self.write_previews()
        return self.path

    def write_events(self):
        with (self.path / "events.jsonl").open("w") as file:
            for row in self.events():
                file.write(json.dumps(row) + "\n")

    def write_previews(self):
        image = self.rng.random((32, 64, 3))
        for visit, domain in enumerate(DOMAINS[:6]):
            for kind in ("image", "label", "frozen", "adapted") if self.labelled else ("image", "frozen", "adapted"):
                name = f"{visit:02d}-{domain}-{kind}.png"
                matplotlib.image.imsave(self.path / "previews" / name, image)

    def events(self):
        rng = self.rng
        yield {"event": "run_started", "stream": "rain_sequence", "method": self.method, "model": "segformer_b0"}
        frozen, adapted, version, index = FROZEN[0], FROZEN[0], 0, 0
        for rate, domain in zip(RAIN, DOMAINS, strict=True):
            if index:
                kind = "return" if rate == 0 else "away" if rate == 25 and index < 20 else "change"
                yield {"event": "shift_event", "frame": index, "kind": kind, "score": 1.6, "true_domain": domain}
            for _ in range(self.frames_per_visit):
                frozen += (FROZEN[rate] - frozen) * 0.12
                adapted += (FROZEN[rate] + self.gain * min(rate, 100) / 80 - adapted) * 0.09
                row = {
                    "event": "prediction",
                    "frame": index,
                    "version": version,
                    "latency_ms": float(34 + rng.gamma(2.0, 2.2) + 60 * (rng.random() < 0.006)),
                    "inference_ms": float(29 + rng.gamma(2.0, 1.1)),
                    "confidence": 0.93 - rate / 900 + float(rng.normal(0, 0.006)),
                    "entropy_nats": 0.2 + rate / 350 + float(rng.normal(0, 0.012)),
                    "domain": domain,
                }
                if self.labelled and index % 5 == 4:
                    noise = float(rng.normal(0, 0.5))
                    row |= {"miou_recent": adapted + noise, "miou_frozen_recent": frozen + noise}
                yield row
                agreement = 0.95 - rate / 700 + float(rng.normal(0, 0.01))
                shadow_ms, score = 28.0 + float(rng.gamma(2, 1)), 0.4 + rate / 90 + float(rng.normal(0, 0.08))
                yield {"event": "shadow_prediction", "frame": index, "duration_ms": shadow_ms, "agreement": agreement}
                yield {"event": "shift_score", "frame": index, "score": score, "is_shifted": rate > 0}
                if rate or rng.random() < 0.25:
                    refused = rng.random() < 0.01
                    version += not refused
                    yield {
                        "event": "adaptation_step",
                        "frame": index,
                        "outcome": "refused_guard" if refused else "applied",
                        "loss": None if refused else 0.35 + rate / 300 + float(rng.gamma(2, 0.04)),
                        "duration_ms": 88.0 + float(rng.normal(0, 6)),
                        "version": version,
                    }
                if rng.random() < 0.01:
                    yield {"event": "frame_dropped", "frame": index + 1, "reason": "stale"}
                index += 1
        yield {"event": "rollback", "frame": index - 5, "version": version - 3, "reason": "loss above its band"}

    def quality(self):
        domains = []
        for visit, (rate, name) in enumerate(zip(RAIN, DOMAINS, strict=True)):
            frozen = FROZEN[rate]
            first = visit * self.frames_per_visit
            miou = frozen + self.gain * min(rate, 100) / 80 - 0.3 * (rate == 0 and visit > 0)
            row = {"name": name, "visit": visit, "first_frame": first, "frames": self.frames_per_visit}
            domains.append(row | {"miou": miou, "miou_frozen": frozen})
        classes = [{"name": name, "iou": 62.0 - 2.4 * k, "iou_frozen": 55.0 - 2.2 * k} for k, name in enumerate(NAMES)]
        classes[12] |= {"iou": 1.2, "iou_frozen": 17.9}
        classes[16] |= {"iou": None, "iou_frozen": None}
        hmean, hmean_frozen = (len(RAIN) / sum(1 / row[key] for row in domains) for key in ("miou", "miou_frozen"))
        return {
            "classes": classes,
            "miou": 52.4,
            "miou_frozen": 44.1,
            "domains": domains,
            "hmean": hmean,
            "hmean_frozen": hmean_frozen,
            "worst_drop": 0.3,
            "negative_window_share": 0.0,
            "recovery_frames": [12, 9, 14, 11, 20, 3, 4, 2, 0, 1],
        }

    def summary(self):
        num_frames = len(RAIN) * self.frames_per_visit
        spread = {"p50": 37.9, "p95": 44.8, "p99": 51.2, "max": 99.0}
        return {
            "schema": 1,
            "stream": "rain_sequence",
            "method": self.method,
            "model": "segformer_b0",
            "device": "cpu",
            "seed": self.seed,
            "pace": "lockstep",
            "size": "256x512",
            "wall_s": 104.2,
            "frames": {"captured": num_frames + 7, "predicted": num_frames, "in_flight": 0, "dropped": {"stale": 7}},
            "num_shifts": 10,
            "fps": {"stream": 10.0, "end_to_end": 9.9},
            "latency_ms": {"capture_to_result": spread, "inference": spread, "frozen_inference": None},
            "adaptation": {
                "steps_applied": 612,
                "steps_refused": 5,
                "rollbacks": 1,
                "recalls": 0,
                "step_ms": {"p50": 88.1, "p95": 97.0, "p99": 101.5},
                "duty": 0.61,
                "trainable_parameters": 412_000,
                "total_parameters": 4_130_000,
                "frozen_digest_before": "ab" * 32,
                "frozen_digest_after": "ab" * 32,
            },
            "shifts": [{"frame": 6, "kind": "away", "score": 1.6, "true_domain": "rain_25mm"}],
            "quality": self.quality() if self.labelled else None,
            "memory": {"peak_rss_mb": 912.4, "peak_device_mb": 0.0, "replay_mb": 63.7},
            "environment": {"python": "3.11.9", "torch": "2.13.0", "cpu_count": 2},
        }


@pytest.fixture
def run_dir(tmp_path):
    return FakeRun(tmp_path / "run").write()


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The report of a whole labelled run."""
    return read(FakeRun(tmp_path_factory.mktemp("runs") / "run").write())


def read(run_dir):
    return write_report(run_dir).read_text(encoding="utf-8")


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
    assert run.num_torn == 1
    assert len(run.rows("prediction")) == 66
    assert "left out: 1." in read(run_dir)


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
