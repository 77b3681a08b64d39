"""The part of the composition root that decides how shifts are found: the source's looks, signal and detector by name.

    source = calibrated(replay)
    watch = build_watch(config.shift, replay, source, frozen=replica(model), light_decoder=None)
"""

import numpy as np
import torch

from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from replay.buffer import ReplayBuffer
from runtime.config import ShiftConfig
from runtime.events import Prediction
from runtime.option_words import ConfigError, nearest
from runtime.serving import SwappedReplica
from runtime.shift.appearance import appearance
from runtime.shift.calibration import MIN_SAMPLES, SourceAppearance, calibrate
from runtime.shift.detectors import DETECTOR_NAMES, DETECTORS, JUMPS, JUMPS_SIGNAL
from runtime.shift.jumps import JumpWatch
from runtime.shift.light_distance import LightDistance, light_decoder_of
from runtime.shift.signals import SIGNALS, SourceViews
from runtime.shift.watch import SignalWatch, Watch
from streams.frame import Frame

CALIBRATION_SAMPLES = 256
THRESHOLD_QUANTILE = 0.9  # of single frames; the monitor smooths over four and wants three in a row


def check_shift(config: ShiftConfig) -> None:
    """ConfigError for a detector or signal there is none of, and for a pair that cannot be."""
    if config.detector not in DETECTOR_NAMES:
        raise ConfigError(
            f"--detector {config.detector}: no such detector; {nearest(config.detector, list(DETECTOR_NAMES))}"
        )
    if config.signal not in SIGNALS:
        raise ConfigError(f"--signal {config.signal}: no such signal; {nearest(config.signal, list(SIGNALS))}")
    if config.detector == JUMPS and config.signal != JUMPS_SIGNAL:
        raise ConfigError(
            f"--signal {config.signal}: the detector {JUMPS} hears {JUMPS_SIGNAL} alone; give another --detector "
            f"({', '.join(DETECTORS)})"
        )


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


def build_watch(
    config: ShiftConfig,
    replay: ReplayBuffer,
    source: SourceAppearance,
    *,
    frozen: SegmentationModel,
    light_decoder: LightDecoder | None,
) -> Watch:
    """The watch of checked names; `frozen`, a model that holds the source weights, answers samples where needed."""
    if config.detector == JUMPS:
        return JumpWatch(source)
    signal = SIGNALS[config.signal].build(views_of(replay, source, frozen=frozen, light_decoder=light_decoder))
    return SignalWatch(signal, DETECTORS[config.detector].build(signal.typical))


def views_of(
    replay: ReplayBuffer,
    source: SourceAppearance,
    *,
    frozen: SegmentationModel,
    light_decoder: LightDecoder | None,
) -> SourceViews:
    """Samples of the replay, and what `frozen` answers to an image; a light decoder is fitted where none came along."""
    images_NHWC, labels_NHW = replay.gather(torch.arange(min(len(replay), CALIBRATION_SAMPLES)))
    answering = SwappedReplica(frozen, next(frozen.parameters()).device)
    return SourceViews(
        images_NHWC.numpy(),
        labels_NHW.numpy(),
        source,
        answer=lambda image_HWC: _answered(answering, image_HWC),
        num_classes=frozen.num_classes,
        light=lambda: LightDistance(frozen, light_decoder or light_decoder_of(frozen, replay)),
    )


def _answered(frozen: SwappedReplica, image_HWC: np.ndarray) -> Prediction:
    answer = frozen.answer(image_HWC)
    return Prediction(
        frame=Frame(index=-1, captured_at_s=0.0, image_HWC=image_HWC),
        version=0,
        labels_HW=answer.labels_HW,
        confidence=answer.confidence,
        entropy_nats=answer.entropy_nats,
        started_at_s=0.0,
        finished_at_s=0.0,
        confident_share=answer.confident_share,
    )
