"""What signals read of a stream, frame by frame, kept on disk: detectors are then run over it in no time.

    readings = read_trial(trial, source, folder)

Rendering costs a hundred times what detecting does. So every stream is played once: the looks of its frames and the
value of each signal are written to a file named by stream, seed and a digest of the code and weights they depend on.
The frozen model answers one frame in ANSWER_PERIOD, which is counted against the label; signals of answers read that
frame again for those between.
"""

# N frames, A answered frames, F features, K classes

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.conditions import code_digest
from benchmarks.detection_streams import Trial
from evaluation.confusion import count_pixels, mean_iou
from models.checkpoint import find_checkpoint, load_source
from runtime.build_shift import calibrated, views_of
from runtime.config import ReplayConfig
from runtime.events import Prediction
from runtime.scores import POINTS
from runtime.shift.calibration import SourceAppearance
from runtime.shift.monitor import ShiftMonitor
from runtime.shift.sight import Sight
from runtime.shift.signals import SIGNALS, SourceViews
from runtime.shift.watch import Signal
from runtime.source import SourceChoice, fill_replay
from runtime.state import State, restore, state_of
from streams.frame import Frame

LAYOUT = 2  # of the files, counted up when what they hold changes
ANSWER_PERIOD = 4
BESIDE_FRAMES = 40  # before and after a change, over which the frozen model is scored
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
    """Of one stream: looks and smoothed looks (N, F), values of signals by name (N,), their usual values, and pixels
    of answered frames by true and by answered class (A, K, K), (A, 0, 0) where frames have no labels.
    """

    looks_NF: np.ndarray
    smoothed_NF: np.ndarray
    values_N: Mapping[str, np.ndarray]
    typical: Mapping[str, float]
    counts_AKK: np.ndarray


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
    facts = (LAYOUT, code_digest(), hashlib.sha256(find_checkpoint(checkpoint).read_bytes()).hexdigest(), size_HW, seed)
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
            kept["counts"],
        )


def frozen_changes(readings: Readings, changes: Sequence[int]) -> tuple[float, ...]:
    """For each change, mIoU of the frozen model over the frames after it less that over the frames before it, in
    points, BESIDE_FRAMES of each at most and none beyond another change; nan without labels.
    """
    found = []
    for before, start, after in zip([0, *changes], changes, [*changes[1:], len(readings.looks_NF)], strict=False):
        sides = (range(max(before, start - BESIDE_FRAMES), start), range(start, min(after, start + BESIDE_FRAMES)))
        earlier, later = (_frozen_miou(readings.counts_AKK, side) for side in sides)
        found.append(POINTS * (later - earlier))
    return tuple(found)


def _frozen_miou(counts_AKK: np.ndarray, frames: range) -> float:
    answered = counts_AKK[-(-frames.start // ANSWER_PERIOD) : -(-frames.stop // ANSWER_PERIOD)]
    return mean_iou(answered.sum(axis=0)) if answered.size else float("nan")


def _played(trial: Trial, source: CalibratedSource) -> Readings:
    signals = source.signals()
    unheard = {name: state_of(signal) for name, signal in signals.items()}
    listening = _Listening(signals)
    monitor = ShiftMonitor(listening)
    counts: list[np.ndarray] = []
    with torch.no_grad():
        for position, frame in enumerate(trial.frames()):
            if position % ANSWER_PERIOD == 0:
                listening.answered = source.views.answer(frame.image_HWC)
                counts.append(_counts(frame, listening.answered, source.views.num_classes))
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
        np.stack(counts).astype(np.int32),
    )


def _counts(frame: Frame, answered: Prediction, num_classes: int) -> np.ndarray:
    if frame.label_HW is None:
        return np.zeros((0, 0), np.int64)
    return count_pixels(frame.label_HW, answered.labels_HW, num_classes)


def _write(path: Path, readings: Readings) -> None:
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        looks=readings.looks_NF,
        smoothed=readings.smoothed_NF,
        names=np.array(list(readings.values_N)),
        values=np.stack(list(readings.values_N.values())),
        typical=np.array(list(readings.typical.values())),
        counts=readings.counts_AKK,
    )
    partial.rename(path)
