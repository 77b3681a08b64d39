"""What signals read of a stream, frame by frame, kept on disk: detectors are then run over it in no time.

    readings = read_trial(trial, source, folder)

Rendering costs a hundred times what detecting does. So every stream is played once: the looks of its frames and the
value of each signal are written to a file named by stream, seed and a digest of the code and weights they depend on.
The frozen model answers one frame in ANSWER_PERIOD, and its last answer stands for the frames between.
"""

# N frames, F features, M source samples

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.conditions import code_digest
from benchmarks.detection_streams import Trial
from models.checkpoint import find_checkpoint, load_model
from runtime.build_shift import calibrated, views_of
from runtime.config import ReplayConfig
from runtime.events import Prediction
from runtime.shift.calibration import SourceAppearance
from runtime.shift.monitor import ShiftMonitor
from runtime.shift.sight import Sight
from runtime.shift.signals import SIGNALS, SourceViews
from runtime.shift.watch import Signal
from runtime.source import SourceChoice, fill_replay
from runtime.state import State
from streams.frame import Frame

ANSWER_PERIOD = 4
REPLAY_BYTES = int(ReplayConfig().replay_mb * 2**20)


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedSource:
    """What a run with this checkpoint, size and seed knows of its source. `digest` tells it from others."""

    views: SourceViews
    digest: str

    @property
    def appearance(self) -> SourceAppearance:
        return self.views.appearance


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Of one stream: looks and smoothed looks (N, F), values of signals by name (N,), and their usual values."""

    looks_NF: np.ndarray
    smoothed_NF: np.ndarray
    values_N: Mapping[str, np.ndarray]
    typical: Mapping[str, float]


class _Listening:
    """A watch that hears every signal and says nothing."""

    is_shifted = False

    def __init__(self, signals: Mapping[str, Signal]) -> None:
        self._signals = signals
        self.rows: list[tuple[np.ndarray, np.ndarray, list[float]]] = []

    def look(self, sight: Sight) -> tuple[float, str | None]:
        values = [signal.read(sight) for signal in self._signals.values()]
        self.rows.append((sight.appearance_F, sight.smoothed_F, values))
        return 0.0, None

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        """There is nothing to go on from."""


def calibrated_source(checkpoint: str, *, size_HW: tuple[int, int], seed: int, data: Path | None) -> CalibratedSource:
    """The replay that a run fills at start, what it looks like, and the frozen model."""
    model, manifest = load_model(checkpoint)
    choice = SourceChoice.of(manifest, ReplayConfig(), data=data)
    replay = fill_replay(choice, size_HW, num_bytes=REPLAY_BYTES, seed=seed, num_classes=model.num_classes)
    facts = (code_digest(), hashlib.sha256(find_checkpoint(checkpoint).read_bytes()).hexdigest(), size_HW, seed)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    return CalibratedSource(views_of(replay, calibrated(replay), frozen=model), digest)


def read_trial(trial: Trial, source: CalibratedSource, folder: Path) -> Readings:
    """Play the stream, unless its readings are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    name = trial.name.replace(":", "_")
    path = folder / f"{trial.group}-{name}-{trial.seed}-{source.digest}.npz"
    if not path.exists():
        _write(path, _played(trial, source))
    with np.load(path) as kept:
        names = [str(name) for name in kept["names"]]
        return Readings(
            kept["looks"],
            kept["smoothed"],
            dict(zip(names, kept["values"], strict=True)),
            dict(zip(names, kept["typical"].tolist(), strict=True)),
        )


def _played(trial: Trial, source: CalibratedSource) -> Readings:
    signals = {name: entry.build(source.views) for name, entry in SIGNALS.items()}
    listening = _Listening(signals)
    monitor = ShiftMonitor(listening)
    answer: Prediction | None = None
    with torch.no_grad():
        for position, frame in enumerate(trial.frames()):
            if answer is None or position % ANSWER_PERIOD == 0:
                answer = source.views.answer(frame.image_HWC)
            monitor.update(_of_frame(answer, frame), at_s=0.0)
    looks, smoothed, values = zip(*listening.rows, strict=True)
    by_signal = np.array(values).T
    return Readings(
        np.stack(looks),
        np.stack(smoothed),
        dict(zip(signals, by_signal, strict=True)),
        {name: signal.typical for name, signal in signals.items()},
    )


def _of_frame(answer: Prediction, frame: Frame) -> Prediction:
    return replace(answer, frame=frame)


def _write(path: Path, readings: Readings) -> None:
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        looks=readings.looks_NF,
        smoothed=readings.smoothed_NF,
        names=np.array(list(readings.values_N)),
        values=np.stack(list(readings.values_N.values())),
        typical=np.array(list(readings.typical.values())),
    )
    partial.rename(path)
