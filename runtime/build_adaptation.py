"""The part of the composition root that watches and learns: monitor, schedule, governor, shadow, learner, guard, trust.

    adaptation = build_adaptation(config, model, weights, replay, calibrated(replay), fps=stream.fps, clock=clock)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from models.segformer import SegmentationModel
from models.trainable import replica, trainable_parameters
from replay.buffer import ReplayBuffer
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.cycle import AdaptationCycle, ShadowPlan
from runtime.adaptation.learner import Learner
from runtime.adaptation.methods import METHODS
from runtime.adaptation.schedule import LearningSchedule
from runtime.config import AdaptationConfig, ConfigError, RuntimeConfig
from runtime.governor import Governor, no_memory_fact
from runtime.guard import Guard
from runtime.memory import memory_share
from runtime.predictor import Shadow
from runtime.probe import SAMPLES as PROBE_SAMPLES
from runtime.probe import Probe
from runtime.shift.appearance import appearance
from runtime.shift.calibration import MIN_SAMPLES, SourceAppearance, calibrate
from runtime.shift.monitor import ShiftMonitor
from runtime.snapshots import Chance, Snapshots
from runtime.state import Stateful
from runtime.trust import Trust
from runtime.weights import VersionedWeights

LIVE_SHADOW_SHARE = 0.2
CALIBRATION_SAMPLES = 256
THRESHOLD_QUANTILE = 0.9  # of single frames; the monitor smooths over four and wants three in a row
WEIGHT_DECAY = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What watches and learns, and what copies all it must remember."""

    cycle: AdaptationCycle
    snapshots: Snapshots


def build_adaptation(
    config: RuntimeConfig,
    model: SegmentationModel,
    weights: VersionedWeights,
    replay: ReplayBuffer,
    source: SourceAppearance,
    *,
    fps: float,
    clock: Callable[[], float],
) -> Adaptation:
    """The cycle around a learner of the configured method."""
    generator = torch.Generator().manual_seed(config.run.seed)
    remembered: dict[str, Stateful] = {"weights": weights, "replay": replay, "chance": Chance({"method": generator})}
    snapshots = Snapshots(remembered, every_s=config.run.checkpoint_every_s, clock=clock)
    is_lockstep = config.run.pace == "lockstep"
    share = config.run.shadow if config.run.shadow is not None else (1.0 if is_lockstep else LIVE_SHADOW_SHARE)
    device = next(model.parameters()).device
    cycle = AdaptationCycle(
        ShiftMonitor(source),
        schedule=LearningSchedule(budget=config.adaptation.budget),
        governor=Governor(
            period_s=1.0 / fps if config.run.pace == "live" else math.inf,
            memory_share=no_memory_fact if is_lockstep else memory_share(device),  # lockstep looks at no machine
        ),
        shadow=ShadowPlan(Shadow(replica(model), weights, device=device, clock=clock), share=share),
        learner=_learner(config, model, weights, replay, generator, clock=clock),
        clock=clock,
        snapshots=snapshots,
    )
    return Adaptation(cycle, snapshots)


def calibrated(replay: ReplayBuffer) -> SourceAppearance:
    """What the source looks like; ConfigError where the replay is too small to tell."""
    num = min(len(replay), CALIBRATION_SAMPLES)
    if num < MIN_SAMPLES:
        raise ConfigError(
            f"--replay-mb: holds {num} samples at this size, expected at least {MIN_SAMPLES} to calibrate on; raise it"
        )
    images_NHWC, _ = replay.gather(torch.arange(num))
    features_NF = np.stack([appearance(image.numpy()) for image in images_NHWC])
    return calibrate(features_NF, quantile=THRESHOLD_QUANTILE)


def _learner(
    config: RuntimeConfig,
    model: SegmentationModel,
    weights: VersionedWeights,
    replay: ReplayBuffer,
    generator: torch.Generator,
    *,
    clock: Callable[[], float],
) -> Learner | None:
    method = METHODS[config.adaptation.method]
    if method.build is None or config.run.adapt == "off":
        return None
    device = next(model.parameters()).device
    trained = trainable_parameters(model)
    return Learner(
        model,
        method.build(replay, device, generator),
        _candidate(config.adaptation, model, weights, replay, clock=clock),
        optimizer=torch.optim.AdamW(trained, lr=config.adaptation.learning_rate, weight_decay=WEIGHT_DECAY),
        ema_decay=config.adaptation.ema_decay,
        clock=clock,
    )


def _candidate(
    config: AdaptationConfig,
    model: SegmentationModel,
    weights: VersionedWeights,
    replay: ReplayBuffer,
    *,
    clock: Callable[[], float],
) -> Candidate:
    twin = replica(model)  # holds the source weights still
    images_NHWC, labels_NHW = replay.gather(torch.arange(min(len(replay), PROBE_SAMPLES)))
    probe = Probe(images_NHWC, labels_NHW, frozen=twin, num_classes=model.num_classes)
    return Candidate(
        twin,
        weights,
        guard=Guard(weights.source.tensors, probe=probe),
        trust=Trust(enter=config.serve_below),
        clock=clock,
    )
