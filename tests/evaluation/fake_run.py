"""A plausible run folder, as a run would have left it."""

import json

import matplotlib.image
import numpy as np

from evaluation.report import write_report

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


def read(run_dir):
    return write_report(run_dir).read_text(encoding="utf-8")
