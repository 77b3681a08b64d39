"""The part of the composition root that watches and learns: monitor, schedule, governor, shadow, learner, guard, trust.

adaptation = build_adaptation(config, given, METHODS[name], fps=stream.fps, clock=clock, slack=None)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from models.light_decoder import LightDecoder
from models.segformer import SegmentationModel
from models.trainable import frozen_digest, load_adaptable, replica
from replay.buffer import ReplayBuffer
from runtime.adaptation.batch_statistics import moving_norms
from runtime.adaptation.candidate import Candidate
from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.descent import build_descent
from runtime.adaptation.learner import Learner
from runtime.adaptation.learning import Learning
from runtime.adaptation.method import Materials
from runtime.adaptation.methods import Entry
from runtime.adaptation.recollection import Recollection
from runtime.adaptation.schedule import LearningSchedule
from runtime.adaptation.service import Service
from runtime.adaptation.shadow_plan import ShadowPlan
from runtime.adaptation.stream_statistics import StreamStatistics
from runtime.build_shift import build_watch
from runtime.config import AdaptationConfig, RuntimeConfig
from runtime.governor import Governor, no_memory_fact
from runtime.guard import Guard
from runtime.library import DomainLibrary
from runtime.library_file import LibraryOrigin, read_library, write_library
from runtime.memory import memory_share
from runtime.option_words import ConfigError
from runtime.predictor import Shadow
from runtime.probe import SAMPLES as PROBE_SAMPLES
from runtime.probe import Probe
from runtime.shift.calibration import SourceAppearance
from runtime.shift.monitor import ShiftMonitor
from runtime.slack import SlackGate
from runtime.snapshots import Chance, Snapshots
from runtime.state import Stateful
from runtime.trust import Trust
from runtime.weights import VersionedWeights

LIVE_SHADOW_SHARE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """What watches and learns, what copies all it must remember, and what writes the library to its file, if it has
    one: any thread may, and is told why the disk refused, if it did. `notes` tell of settings that have no effect.
    """

    cycle: AdaptationCycle
    snapshots: Snapshots
    keep_library: Callable[[], str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SourceParts:
    """What the learner begins from: the model, its versions, labelled samples, what the source looks like, and the
    light decoder that came with the checkpoint, if one did.
    """

    model: SegmentationModel
    weights: VersionedWeights
    replay: ReplayBuffer
    appearance: SourceAppearance
    light_decoder: LightDecoder | None = None


def build_adaptation(
    config: RuntimeConfig,
    given: SourceParts,
    entry: Entry,
    *,
    fps: float,
    clock: Callable[[], float],
    slack: SlackGate | None,
) -> Adaptation:
    """The cycle around a learner of the method `entry` describes; `config` is resolved (`runtime.recipes`).

    `slack` is what will hold learning back, if anything: by its clock methods tell what their steps cost.
    """
    model, weights, replay = given.model, given.weights, given.replay
    generator = torch.Generator().manual_seed(config.run.seed)
    remembered: dict[str, Stateful] = {"weights": weights, "replay": replay, "chance": Chance({"method": generator})}
    snapshots = Snapshots(remembered, every_s=config.run.checkpoint_every_s, clock=clock)
    is_lockstep = config.run.pace == "lockstep"
    share = config.run.shadow if config.run.shadow is not None else (1.0 if is_lockstep else LIVE_SHADOW_SHARE)
    device = next(model.parameters()).device
    library = _library(config, given, entry)
    shadow = ShadowPlan(Shadow(replica(model), weights, device=device, clock=clock), share=share)
    learner = _learner(config, given, entry, generator, library, clock=clock, slack=slack)
    learning = None
    if learner is not None:
        governor = Governor(
            period_s=1.0 / fps if config.run.pace == "live" else math.inf,
            memory_share=no_memory_fact if is_lockstep else memory_share(device),  # lockstep looks at no machine
        )
        schedule = _schedule(config.adaptation, entry)
        learning = Learning(learner, schedule=schedule, governor=governor, shadow=shadow)
    cycle = AdaptationCycle(
        _monitor(config, given), shadow=shadow, learning=learning, clock=clock, snapshots=snapshots
    )
    keep_library = _keep_library(config, given, library)
    return Adaptation(cycle, snapshots, keep_library, _notes(config, given, library))


def _schedule(config: AdaptationConfig, entry: Entry) -> LearningSchedule:
    budget = config.budget if config.policy == "guarded" else None
    return LearningSchedule(budget=budget, fresh_descents=entry.recipe.fresh_descents)


def _monitor(config: RuntimeConfig, given: SourceParts) -> ShiftMonitor:
    frozen = replica(given.model)
    watch = build_watch(
        config.shift, given.replay, given.appearance, frozen=frozen, light_decoder=given.light_decoder
    )
    return ShiftMonitor(watch)


def _learner(
    config: RuntimeConfig,
    given: SourceParts,
    entry: Entry,
    generator: torch.Generator,
    library: DomainLibrary | None,
    *,
    clock: Callable[[], float],
    slack: SlackGate | None,
) -> Learner | None:
    if entry.build is None or config.run.adapt == "off":
        return None
    assert config.adaptation.learning_rate is not None and config.adaptation.ema_decay is not None  # resolved
    device = next(given.model.parameters()).device
    frozen = replica(given.model)
    load_adaptable(frozen, given.weights.source.tensors)  # the very tensors: nobody writes to either
    candidate = _candidate(config.adaptation, given, library, clock=clock)
    work_clock = slack.working_s if slack else clock
    materials = Materials(
        given.replay,
        frozen,
        candidate.model,
        device,
        generator,
        clock=None if config.run.pace == "lockstep" else work_clock,
        light_decoder=given.light_decoder,
        is_averaged=config.adaptation.ema_decay > 0,
    )
    return Learner(
        given.model,
        entry.build(materials),
        candidate,
        build_descent(entry.recipe, given.model, learning_rate=config.adaptation.learning_rate),
        ema_decay=config.adaptation.ema_decay,
        clock=clock,
    )


def _candidate(
    config: AdaptationConfig, given: SourceParts, library: DomainLibrary | None, *, clock: Callable[[], float]
) -> Candidate:
    """Judged by probe, drift and trust; under the bare policy by being finite alone."""
    twin, source = replica(given.model), given.weights.source.tensors  # the twin holds the source weights still
    if config.policy == "bare":
        guard, trust = Guard(source, max_drift=math.inf), Trust(below=1.0)
    else:
        images_NHWC, labels_NHW = given.replay.gather(torch.arange(min(len(given.replay), PROBE_SAMPLES)))
        probe = Probe(images_NHWC, labels_NHW, frozen=twin, num_classes=given.model.num_classes)
        guard = Guard(source, network=given.model, probe=probe)
        trust = Trust(below=config.serve_below)
    recollection = None if library is None else Recollection(library)
    service = Service(given.weights, _statistics(config, given))
    return Candidate(twin, service, guard=guard, trust=trust, clock=clock, recollection=recollection)


def _statistics(config: AdaptationConfig, given: SourceParts) -> StreamStatistics | None:
    """None under the bare policy, which serves what a method says, and for models without a batch norm that may move.
    """
    if config.policy == "bare" or not moving_norms(given.model):
        return None
    return StreamStatistics(replica(given.model), given.weights.source.tensors, given.appearance)


def _library(config: RuntimeConfig, given: SourceParts, entry: Entry) -> DomainLibrary | None:
    """None where there is nothing to keep; ConfigError where there is a file for it all the same."""
    capacity_bytes, path = int(config.library.library_mb * 2**20), config.library.library
    learns = entry.build is not None and config.run.adapt != "off" and config.adaptation.policy == "guarded"
    if not learns or capacity_bytes == 0:
        if path is not None:
            why = "--library-mb 0 keeps no domain" if learns else "no domain is kept without learning by guarded policy"
            raise ConfigError(f"--library {path}: {why}; leave it out, or change the other option")
        return None
    library = DomainLibrary(given.appearance, capacity_bytes=capacity_bytes)
    if path is None:
        return library
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"--library {path}: expected a file in a folder that exists; make it, or name another")
    if path.exists():
        library.load_state(read_library(path, _library_origin(config, given)))
    return library


def _keep_library(config: RuntimeConfig, given: SourceParts, library: DomainLibrary | None) -> Callable[[], str]:
    path = config.library.library
    if path is None or library is None:
        return lambda: ""
    origin = _library_origin(config, given)

    def keep() -> str:
        try:
            write_library(path, library, origin)
        except OSError as error:
            return f"--library {path}: not written ({error.strerror or error}); the file is what it was"
        return ""

    return keep


def _library_origin(config: RuntimeConfig, given: SourceParts) -> LibraryOrigin:
    assert config.model.trainable is not None  # resolved
    shapes = {name: list(tensor.shape) for name, tensor in given.weights.source.tensors.items()}
    return LibraryOrigin(config.model.trainable, shapes, frozen_digest(given.model), given.weights.source_digest)


def _notes(config: RuntimeConfig, given: SourceParts, library: DomainLibrary | None) -> tuple[str, ...]:
    one_mb = sum(tensor.nbytes for tensor in given.weights.source.tensors.values()) / 2**20
    if library is None or one_mb < config.library.library_mb:
        return ()
    return (f"--library-mb {config.library.library_mb:g}: no domain is kept, as one takes {one_mb:.1f} MiB",)
