"""`udaseg-runtime pretrain`: train a source model and write its checkpoint.

An interrupted training (Ctrl-C, power cut) goes on from OUT.partial when the same command is given again; on a CPU it
then ends with the weights of an uninterrupted one.
"""

import contextlib
import functools
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from models.checkpoint import Manifest, Source, load_checkpoint, load_model, save_checkpoint, state_with
from models.encoder_weights import load_encoder_weights
from models.segformer import SegmentationModel
from models.tensorfile import CheckpointInvalid, prefixing
from models.zoo import MODELS, build_model, has_light_decoder, is_known
from replay.augment import CropRule
from replay.pool import AugmentedSamples
from replay.published import PipelineRule, PublishedCrops
from replay.sampling import SamplingRule
from runtime.option_words import ConfigError, nearest
from runtime.pretraining.config import PretrainConfig
from runtime.pretraining.data import TrainingData, first_samples, load_training_data
from runtime.pretraining.hardware import Hardware, choose_hardware
from runtime.pretraining.loader import open_loader
from runtime.pretraining.loop import Collaborators, Rhythm, TrainingDiverged, train
from runtime.pretraining.objective import Objective
from runtime.pretraining.progress import clock_time, open_progress
from runtime.pretraining.state import PartialTraining, read_partial, write_partial
from runtime.pretraining.trainer import Recipe, Trainer
from runtime.pretraining.validation import mean_iou
from runtime.shift.light_distance import fitted_light_decoder
from streams.datasets.labels import CITYSCAPES

LIGHT_SAMPLES = 64  # that a light decoder is fitted to, as at the start of a run


@dataclass(frozen=True, slots=True)
class PretrainResult:
    """How a training ended. `miou` in points is None without validation frames; unless complete no checkpoint is
    written.
    """

    is_complete: bool
    num_steps_done: int
    loss: float
    miou: float | None
    trained_s: float
    checkpoint: Path


def pretrain(
    config: PretrainConfig, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> PretrainResult:
    """Trains to the end, or to the first Ctrl-C, which saves the state. Errors of settings and data are one line
    each.
    """
    console = console or Console(quiet=config.quiet)
    say = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if not is_known(config.model):
        raise ConfigError(f"--model {config.model}: no such model; {nearest(config.model, list(MODELS))}")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    hardware = choose_hardware(config)
    identity = _identity(config, hardware)
    partial = read_partial(config.partial, identity=identity) if config.partial.exists() else None
    say(f"preparing samples of {config.dataset}")
    data = load_training_data(config, processes=os.cpu_count() or 1)
    model = _beginning(config)
    trainer = Trainer(model, recipe=_recipe(config), device=hardware.device, precision=hardware.precision)
    if partial is not None:
        trainer.load_state(partial.tensors, num_steps_done=partial.num_steps_done)
        say(f"going on from step {partial.num_steps_done} of {config.steps} ({config.partial})")
    result = _train(
        config, hardware=hardware, data=data, trainer=trainer, partial=partial, console=console, clock=clock
    )
    if not result.is_complete:
        ahead = f"the same command goes on from {config.partial}" if config.partial.exists() else "nothing was saved"
        say(f"stopped at step {result.num_steps_done}; {ahead}")
        return result
    _write_checkpoint(config, data=data, trainer=trainer, result=result, identity=identity)
    score = "" if result.miou is None else f", {result.miou:.1f} mIoU on unseen frames"
    say(f"wrote {config.out} after {clock_time(result.trained_s)}{score}")
    return result


def _beginning(config: PretrainConfig) -> SegmentationModel:
    """The network before the first step. CheckpointInvalid where the checkpoint is of another one."""
    if config.checkpoint is None:
        model = build_model(config.model, num_classes=len(CITYSCAPES.names))
        if config.encoder_weights is not None:
            with prefixing("--encoder-weights"):
                load_encoder_weights(model, config.encoder_weights)
        return model
    with prefixing("--checkpoint"):
        model, manifest = load_model(config.checkpoint, model=config.model)
    if manifest.classes != CITYSCAPES.names:
        raise CheckpointInvalid(
            f"--checkpoint {config.checkpoint}: has {manifest.num_classes} classes of its own, expected the "
            f"{len(CITYSCAPES.names)} of Cityscapes; convert it with --classes cityscapes"
        )
    return model


def _train(
    config: PretrainConfig,
    *,
    hardware: Hardware,
    data: TrainingData,
    trainer: Trainer,
    partial: PartialTraining | None,
    console: Console,
    clock: Callable[[], float],
) -> PretrainResult:
    workers = hardware.workers if partial is None else int(partial.loader["workers"])
    loader = open_loader(
        _crops(config, data=data, batch=hardware.batch),
        batch=hardware.batch,
        workers=workers,
        pins_memory=hardware.device.type == "cuda",
        state=None if partial is None else partial.loader["state"],
    )
    began_at_s = clock() - (0.0 if partial is None else partial.trained_s)
    identity = _identity(config, hardware)

    def save() -> None:
        position = {"workers": workers, "state": loader.state_dict()}
        state = PartialTraining(trainer.state(), trainer.num_steps_done, position, clock() - began_at_s, identity)
        try:
            write_partial(config.partial, state)
        except OSError as error:
            progress.note(f"{config.partial}: state not saved ({error.strerror}); training goes on")

    score = None
    if data.validation is not None:
        score = functools.partial(
            mean_iou,
            trainer.averaged,
            data.validation,
            device=hardware.device,
            precision=hardware.precision,
            scale_HW=config.resize_HW if config.is_published else None,
        )
    rhythm = Rhythm(config.steps, config.validate_every, config.save_every_s)
    with (
        _first_interrupt() as interrupted,
        open_progress(config.steps, first_step=trainer.num_steps_done, console=console, clock=clock) as progress,
    ):
        others = Collaborators(score, save, interrupted.is_set, progress, clock)
        try:
            loss = train(trainer, loader, rhythm=rhythm, others=others)
        except TrainingDiverged as error:
            raise ConfigError(str(error)) from error
    is_complete = trainer.num_steps_done >= config.steps
    return PretrainResult(
        is_complete=is_complete,
        num_steps_done=trainer.num_steps_done,
        loss=loss,
        miou=score() if is_complete and score is not None else None,
        trained_s=clock() - began_at_s,
        checkpoint=config.out,
    )


def _crops(config: PretrainConfig, *, data: TrainingData, batch: int) -> AugmentedSamples | PublishedCrops:
    sampling = SamplingRule(
        config.rare_class_temperature, config.rare_class_min_pixels, config.rare_class_crop_share
    )
    num_positions = config.steps * batch
    if not config.is_published:
        return AugmentedSamples(
            data.training,
            crop=CropRule(config.crop_HW, config.scale_range, config.max_class_share),
            rule=sampling,
            photometric=config.distortion,
            seed=config.seed,
            num_positions=num_positions,
        )
    return PublishedCrops(
        data.training,
        rule=PipelineRule(
            config.resize_HW, config.crop_HW, config.scale_range, config.max_class_share, config.distortion
        ),
        sampling=sampling,
        seed=config.seed,
        num_positions=num_positions,
    )


def _recipe(config: PretrainConfig) -> Recipe:
    return Recipe(
        num_steps=config.steps,
        learning_rate=config.learning_rate,
        head_multiplier=config.head_multiplier,
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        curve=config.curve,
        objective=Objective(config.divisor, config.is_published, config.weights_of_classes),
    )


def _identity(config: PretrainConfig, hardware: Hardware) -> dict[str, Any]:  # JSON values
    """All settings that decide what the weights become; also the recipe in the checkpoint's manifest."""
    names = (
        "dataset", "model", "pipeline", "steps", "learning_rate", "head_multiplier", "weight_decay", "ema_decay",
        "class_weights", "max_class_share", "rare_class_temperature", "rare_class_min_pixels", "rare_class_crop_share",
        "seed",
    )  # fmt: skip
    identity = {name: getattr(config, name) for name in names}
    identity |= {"scale_low": config.scale_range[0], "scale_high": config.scale_range[1]}
    identity |= {"photometric": config.distortion, "loss_norm": config.divisor, "schedule": config.curve}
    if config.is_published:
        identity["resize"] = list(config.resize_HW)
    identity |= {"size": list(config.size_HW), "crop": list(config.crop_HW), "batch": hardware.batch}
    if config.checkpoint is not None:
        identity["begun_from"] = load_checkpoint(config.checkpoint)[1].sha256
    identity["precision"] = str(hardware.precision).removeprefix("torch.")
    if config.encoder_weights is not None:
        identity["encoder_weights"] = config.encoder_weights.name
    if config.uses_synthetic:
        identity["samples"] = config.samples
    return identity


def _write_checkpoint(
    config: PretrainConfig,
    *,
    data: TrainingData,
    trainer: Trainer,
    result: PretrainResult,
    identity: Mapping[str, Any],
) -> None:
    """Averaged weights with their manifest; the training state has then served its purpose."""
    known = {"loss": result.loss, "miou": result.miou, "trained_s": round(result.trained_s, 1)}
    metrics = {name: value for name, value in known.items() if value is not None and math.isfinite(value)}
    manifest = Manifest(
        model=config.model,
        num_classes=len(CITYSCAPES.names),
        classes=CITYSCAPES.names,
        source=Source(data.layout, data.split, config.size_HW),
        recipe=identity,
        metrics=metrics,
    )
    try:
        save_checkpoint(config.out, _trained_state(config, trainer.averaged, data), manifest)
    except OSError as error:
        raise ConfigError(
            f"--out {config.out}: cannot be written ({error.strerror}); make room, then give the same command again"
        ) from error
    config.partial.unlink(missing_ok=True)


def _trained_state(config: PretrainConfig, network: SegmentationModel, data: TrainingData) -> dict[str, Tensor]:
    """The network's tensors, and those of a light decoder fitted to it where the model has one."""
    if not has_light_decoder(config.model):
        return network.state_dict()
    images_NHWC, labels_NHW = first_samples(data.training, LIGHT_SAMPLES, size_HW=config.size_HW)
    return state_with(network, fitted_light_decoder(network.eval(), images_NHWC, labels_NHW))


@contextlib.contextmanager
def _first_interrupt() -> Iterator[threading.Event]:
    """An event set by the first Ctrl-C, so that a step is never cut in half; the second one interrupts as usual."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def on_interrupt(_: int, __: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
