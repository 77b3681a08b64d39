"""What signals read of a stream, frame by frame, kept on disk: detectors are then run over it in no time.

    readings = read_trial(trial, source, folder)

Rendering costs a hundred times what detecting does. So every stream is played once: the looks of its frames and the
value of each signal are written to a file named by stream, seed and a digest of the code and weights they depend on.
The frozen model answers one frame in ANSWER_PERIOD; signals of answers read that frame again for those between.
"""

# N frames, F features, M source samples

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.conditions import code_digest
from benchmarks.detection_streams import Trial
from models.checkpoint import find_checkpoint, load_source
from runtime.build_shift import calibrated, views_of
from runtime.config import ReplayConfig
from runtime.events import Prediction
from runtime.shift.calibration import SourceAppearance
from runtime.shift.monitor import ShiftMonitor
from runtime.shift.sight import Sight
from runtime.shift.signals import SIGNALS, SourceViews
from runtime.shift.watch import Signal
from runtime.source import SourceChoice, fill_replay
from runtime.state import State, restore, state_of

ANSWER_PERIOD = 4
OF_ANSWERS = ("confidence", "classes", "light")
REPLAY_BYTES = int(ReplayConfig().replay_mb * 2**20)


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedSource:
    """What a run with this checkpoint, size and seed knows of its source. `signals` are built when first asked for;
    `digest` tells it from others.
    """

    views: SourceViews
    signals: Callable[[], Mapping[str, Signal]]
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
    """A watch that hears every signal and says nothing; `answered` is what signals of answers see."""

    is_shifted = False

    def __init__(self, signals: Mapping[str, Signal]) -> None:
        self._signals = signals
        self.answered: Prediction | None = None
        self.rows: list[tuple[np.ndarray, np.ndarray, list[float]]] = []

    def look(self, sight: Sight) -> tuple[float, str | None]:
        assert self.answered is not None
        of_answers = replace(sight, prediction=self.answered)
        values = [signal.read(of_answers if name in OF_ANSWERS else sight) for name, signal in self._signals.items()]
        self.rows.append((sight.appearance_F, sight.smoothed_F, values))
        return 0.0, None

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None:
        """There is nothing to go on from."""


def calibrated_source(checkpoint: str, *, size_HW: tuple[int, int], seed: int, data: Path | None) -> CalibratedSource:
    """The replay that a run fills at start, what it looks like, and the frozen model."""
    model, light_decoder, manifest = load_source(checkpoint)
    choice = SourceChoice.of(manifest, ReplayConfig(), data=data)
    replay = fill_replay(choice, size_HW, num_bytes=REPLAY_BYTES, seed=seed, num_classes=model.num_classes)
    facts = (code_digest(), hashlib.sha256(find_checkpoint(checkpoint).read_bytes()).hexdigest(), size_HW, seed)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    views = views_of(replay, calibrated(replay), frozen=model, light_decoder=light_decoder)
    signals = functools.cache(lambda: {name: entry.build(views) for name, entry in SIGNALS.items()})
    return CalibratedSource(views, signals, digest)


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
    signals = source.signals()
    unheard = {name: state_of(signal) for name, signal in signals.items()}
    listening = _Listening(signals)
    monitor = ShiftMonitor(listening)
    with torch.no_grad():
        for position, frame in enumerate(trial.frames()):
            if position % ANSWER_PERIOD == 0:
                listening.answered = source.views.answer(frame.image_HWC)
            assert listening.answered is not None
            monitor.update(replace(listening.answered, frame=frame), at_s=0.0)
    for name, signal in signals.items():
        restore(signal, unheard[name])  # for the next stream
    looks, smoothed, values = zip(*listening.rows, strict=True)
    by_signal = np.array(values).T
    return Readings(
        np.stack(looks),
        np.stack(smoothed),
        dict(zip(signals, by_signal, strict=True)),
        {name: signal.typical for name, signal in signals.items()},
    )


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
