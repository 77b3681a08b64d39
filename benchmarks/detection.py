"""`udaseg-runtime bench detection`: delays, misses and false alarms of every detector on every signal.

    udaseg-runtime bench detection --seeds 0,1,2
    udaseg-runtime bench detection --data path/to/camvid --data-checkpoint camvid_b0.safetensors --data-size 180x240

Streams are played once, their signals kept, and all detectors run over them, calibrated as at the start of a run. A
detection within 40 frames of a change finds it, whatever kind it says; any other is a false alarm, a false "change"
too. Beside each kind of jump stands what it does to the frozen model. With `--data` the presets' weather is also
rendered on CamVid's day, and its dusk is played as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.conditions import describe
from benchmarks.detection_readings import CalibratedSource, Readings, calibrated_source, frozen_changes, read_trial
from benchmarks.detection_streams import RAMP, Trial, drive_trial, places_trial, preset_trial, recorded_trial
from benchmarks.detection_tables import Outcome, detection_tables
from benchmarks.options import check_at_least, check_names, check_seeds
from benchmarks.results import Result, check_save_name, options_of, publish
from evaluation.detection import score_detections
from runtime.arguments import parse
from runtime.events import Prediction
from runtime.option_words import ConfigError, parse_size
from runtime.shift.detectors import DETECTORS, JUMPS, JUMPS_SIGNAL
from runtime.shift.jumps import JumpWatch
from runtime.shift.sight import Sight
from runtime.shift.signals import SIGNALS
from streams.frame import Frame
from streams.stream import StreamOptions
from streams.synthetic.sequences import PRESETS

DUSK = "dataset:camvid:test_dusk"
DAY = "camvid:test_day"
STREETS = 50  # numbers that a seed has for itself, so that drives of other seeds are along other streets
UNSEEN = Prediction(Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8)), 0, np.zeros((1, 1), np.uint8), 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionConfig:
    """Measure how shifts are found."""

    streams: str = "rain_sequence,fog_sequence,night_sequence,mixed_recurring,storm_gradual"
    """Presets, separated by commas."""
    seeds: str = "0,1,2"
    """Seeds of streets and of source samples, separated by commas."""
    drives: int = 8
    """Streets driven along in clear weather."""
    drive_frames: int = 400
    """Frames of each drive."""
    size: str = "256x512"
    """HxW of frames."""
    checkpoint: str = "segformer_b0_synthetic"
    """Whose confidence and classes are signals, a file or a shipped name."""
    data: Path | None = None
    """Folder of CamVid, to check on its frames too; nothing was chosen on them."""
    data_checkpoint: str | None = None
    """Checkpoint trained on CamVid's train and val splits; needed with --data."""
    data_size: str = "180x240"
    """HxW of CamVid's frames."""
    data_streams: str = "rain_sequence,fog_sequence,night_sequence"
    """Presets whose weather is rendered on CamVid's day."""
    out: Path = Path("runs/bench-detection")
    """Folder for readings and tables; readings in it are used again."""
    save: str | None = None
    """Also keep the tables under this name in benchmarks/results."""

    def __post_init__(self) -> None:
        check_names("--streams", self.streams, PRESETS)
        check_names("--data-streams", self.data_streams, PRESETS)
        check_seeds(self.seeds)
        if (self.data is None) != (self.data_checkpoint is None):
            raise ConfigError("--data: goes with --data-checkpoint, one without the other measures nothing; give both")
        check_at_least("--drives", self.drives, 1)
        check_at_least("--drive-frames", self.drive_frames, 1)
        parse_size(self.size)
        parse_size(self.data_size)
        check_save_name(self.save)


def main(arguments: Sequence[str]) -> int:
    """Play what was not played yet, run all detectors, print and write the tables."""
    config = parse(DetectionConfig, arguments, prog="udaseg-runtime bench detection")
    conditions = describe("cpu", threads=torch.get_num_threads())
    outcomes: list[Outcome] = []
    for trial, source in _trials(config):
        print(f"{trial.name} {trial.seed}: {trial.num_frames} frames", flush=True)
        outcomes += watched(trial, read_trial(trial, source, config.out), source)
    result = Result(
        "detection", conditions, options=options_of(config), tables=detection_tables(outcomes), data=outcomes
    )
    publish(result, folder=config.out, save=config.save)
    return 0


def watched(trial: Trial, readings: Readings, source: CalibratedSource) -> list[Outcome]:
    """What every pair of signal and detector found in the stream."""
    found = {(JUMPS_SIGNAL, JUMPS): _by_jumps(readings, source)}
    for signal in SIGNALS:
        for name, entry in DETECTORS.items():
            detector = entry.build(readings.typical[signal])
            kinds = [detector.update(float(value)) for value in readings.values_N[signal]]
            found[signal, name] = [(frame, kind) for frame, kind in enumerate(kinds) if kind is not None]
    outcomes, frozen = [], frozen_changes(readings, trial.changes)
    for (signal, detector_name), events in found.items():
        frames = [frame for frame, _ in events]
        score = score_detections(trial.changes, frames, num_frames=len(readings.looks_NF), tolerance=trial.tolerance)
        outcomes.append(
            Outcome(
                *(trial.name, trial.group, trial.seed, signal, detector_name, score, trial.is_step, tuple(events)),
                titles=trial.titles,
                frozen_changes=frozen,
            )
        )
    return outcomes


def _by_jumps(readings: Readings, source: CalibratedSource) -> list[tuple[int, str]]:
    watch = JumpWatch(source.appearance)
    rows = zip(readings.looks_NF, readings.smoothed_NF, strict=True)
    kinds = [watch.look(Sight(UNSEEN, looks_F, smoothed_F))[1] for looks_F, smoothed_F in rows]
    return [(frame, kind) for frame, kind in enumerate(kinds) if kind is not None]


def _trials(config: DetectionConfig) -> Iterator[tuple[Trial, CalibratedSource]]:
    """Every stream with the source its run would begin from, source by source."""
    seeds, size_HW = [int(seed) for seed in config.seeds.split(",")], parse_size(config.size)
    for place, seed in enumerate(seeds):
        source = calibrated_source(config.checkpoint, size_HW=size_HW, seed=seed, data=None)
        for name in config.streams.split(","):
            yield preset_trial(name, seed, size_HW=size_HW), source
        yield places_trial(STREETS * seed, size_HW=size_HW), source
        for number in range(place, config.drives, len(seeds)):
            yield drive_trial(STREETS * seed + number, config.drive_frames, size_HW=size_HW), source
    if config.data is None or config.data_checkpoint is None:
        return
    size_HW = parse_size(config.data_size)
    for seed in seeds:
        source = calibrated_source(config.data_checkpoint, size_HW=size_HW, seed=seed, data=config.data)
        options = StreamOptions(size_HW=size_HW, seed=seed, dataset=DAY, data=config.data)
        for name in config.data_streams.split(","):
            if name != RAMP:
                yield recorded_trial(name, options), source
        yield recorded_trial(DUSK, StreamOptions(size_HW=size_HW, seed=seed, data=config.data)), source
