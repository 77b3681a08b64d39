"""The composition root: a configuration becomes the parts of a run.

The only place, with its neighbours `build_*.py` and the command line, that reads configuration; everything
below receives values and collaborators.
The checkpoint loads first (it knows the size frames are brought to), then the stream opens: what a user mistyped is
reported before anything slow or lasting happens.
"""

import dataclasses
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from models.adapters import AdapterConfig, attach_adapters
from models.checkpoint import Manifest
from models.precision import chosen_precision
from models.segformer import SegmentationModel
from models.trainable import TrainableReport, adaptable_tensors, replica, set_trainable
from replay.buffer import ReplayBuffer
from runtime.adaptation.components import joined
from runtime.adaptation.cycle import AdaptationCycle
from runtime.adaptation.methods import METHODS, Entry
from runtime.build_adaptation import SourceParts, build_adaptation
from runtime.build_driver import Driven, Driver, build_driver, simulation_of, slack_of
from runtime.build_shift import calibrated, check_shift
from runtime.config import ModelConfig, RuntimeConfig
from runtime.events import Fault
from runtime.label_mapping import ClassMapping
from runtime.lanes import open_lanes
from runtime.option_words import ConfigError, nearest, parse_components, parse_size, parse_stages
from runtime.predictor import Predictor
from runtime.recipes import resolved
from runtime.serving import serve
from runtime.shift.routing import Router
from runtime.snapshots import Snapshots
from runtime.source import HeldOut, SourceChoice, fill_replay
from runtime.source_model import source_model
from runtime.weights import VersionedWeights
from streams.frame import Frame
from streams.limited import Limited
from streams.pacing import Paced
from streams.stream import Stream, StreamOptions, open_stream

ADAPTER_SEED = 0  # not the run's: what one run learnt another one can take up, as they begin alike

Opener = Callable[[str, StreamOptions], Stream]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A run ready to start. `round_length` is the number of frames after which the stream begins again, if it does."""

    driver: Driver
    stream: Stream
    weights: VersionedWeights
    model: SegmentationModel
    manifest: Manifest
    notes: tuple[str, ...]  # what the user should know of the model before the first frame
    report: TrainableReport
    replay: ReplayBuffer
    device: torch.device
    size_HW: tuple[int, int]
    cycle: AdaptationCycle
    snapshots: Snapshots
    held_out: HeldOut | None
    round_length: int | None
    keep_library: Callable[[], str]
    track: str
    faults: queue.SimpleQueue[Fault]  # found while building, or later by parts that send no events


@dataclass(frozen=True, slots=True)
class Start:
    """Where in the stream a run begins: the index of its first frame, and how many were captured before that."""

    frame: int = 0
    num_before: int = 0


def build(
    config: RuntimeConfig,
    *,
    clock: Callable[[], float] = time.monotonic,
    open_with: Opener = open_stream,
    start: Start = Start(),
    methods: Mapping[str, Entry] = METHODS,
) -> Parts:
    """Parts of the configured run from `start` on; `open_with` opens its stream, `methods` are those to choose from.
    Why there are none is one line, as ConfigError, UnknownStream (usage), StreamNotOpened or CheckpointInvalid.
    """
    check_shift(config.shift)
    entry, device = method_entry(config, methods), _device(config.model.device)
    config = resolved(config, entry.recipe)
    torch.manual_seed(config.run.seed)
    model, light_decoder, mapping = source_model(config.model)
    size_HW = parse_size(config.stream.size) if config.stream.size else mapping.manifest.source.size_HW
    faults: queue.SimpleQueue[Fault] = queue.SimpleQueue()

    def note(component: str, detail: str) -> None:
        faults.put(Fault(component, detail, clock()))

    stream, round_length = _open(config, size_HW, open_with, start, clock=clock, tell=partial(note, "capture"))
    report, replay = _adapt(model.to(device), config.model), _filled(config, mapping, size_HW)
    model.answers_in = chosen_precision(config.model.precision, device)
    lanes = open_lanes(device)
    weights = VersionedWeights(adaptable_tensors(model), lane=lanes.learning)
    served = serve(replica(model), lanes.inference, on_fault=lambda detail: note("inference", detail))
    given = SourceParts(model, weights, replay, calibrated(replay), light_decoder and light_decoder.to(device))
    router = Router(given.appearance) if config.adaptation.policy == "guarded" else None
    simulation = simulation_of(config.run, weights, measure=clock)
    stamps = clock if simulation is None else simulation.clock
    predictor = Predictor(served, simulation.view if simulation else weights, clock=stamps, router=router)
    _warm_up(predictor, size_HW)
    slack = slack_of(config.run, lanes.learning, clock=clock)
    adaptation = build_adaptation(config, given, entry, fps=stream.fps, clock=stamps, slack=slack)
    for detail in adaptation.notes:
        note("learner", detail)
    lanes.learning.record().wait()  # what was built here must be there before other lanes compute on it
    driven = Driven(stream, predictor, adaptation.cycle, lanes.learning, slack)
    return Parts(
        driver=build_driver(config.run, driven, clock, simulation=simulation),
        stream=stream,
        weights=weights,
        model=model,
        manifest=mapping.manifest,
        notes=(*mapping.notes, *_stretching(model, size_HW)),
        report=report,
        replay=replay,
        device=device,
        size_HW=size_HW,
        cycle=adaptation.cycle,
        snapshots=adaptation.snapshots,
        held_out=_held_out(config, mapping.manifest, size_HW),
        round_length=round_length,
        keep_library=adaptation.keep_library,
        track=entry.track,
        faults=faults,
    )


def method_entry(config: RuntimeConfig, methods: Mapping[str, Entry] = METHODS) -> Entry:
    """The method the configuration names, joined with its components; ConfigError for names there are none of."""
    name = config.adaptation.method
    if name not in methods:
        raise ConfigError(f"--method {name}: no such method; {nearest(name, list(methods))}")
    return joined(methods[name], parse_components(config.adaptation.with_))


def _stretching(model: SegmentationModel, size_HW: tuple[int, int]) -> tuple[str, ...]:
    """Says so where the network does not take frames of this size as they are."""
    fitted_HW = model.encoder.fitted(size_HW)
    if fitted_HW == size_HW:
        return ()
    given, read = (f"{height}x{width}" for height, width in (size_HW, fitted_HW))
    return (f"--size {given}: {model.name} does not take that size; frames are stretched to {read}",)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is visible to torch; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _open(
    config: RuntimeConfig,
    size_HW: tuple[int, int],
    open_with: Opener,
    start: Start,
    *,
    clock: Callable[[], float],
    tell: Callable[[str], None],
) -> tuple[Stream, int | None]:
    """The stream, and the frames in a round of it where it is played several times."""
    options = StreamOptions(
        size_HW=size_HW,
        seed=config.run.seed,
        fps=config.stream.fps,
        dataset=config.stream.dataset,
        data=config.stream.data,
        start=start.frame,
        rounds=config.stream.rounds,
        frames_per_visit=config.stream.frames_per_visit,
        clock=clock,
        tell=tell,
    )
    stream = open_with(config.stream.stream, options)
    num_left, rounds = stream.num_frames, config.stream.rounds
    round_length = (num_left + start.frame) // rounds if num_left is not None and rounds > 1 else None
    if config.stream.max_frames is not None:
        stream = Limited(stream, max_frames=config.stream.max_frames, num_before=start.num_before)
    return Paced(stream, pace=config.run.pace, clock=clock), round_length


def _filled(config: RuntimeConfig, mapping: ClassMapping, size_HW: tuple[int, int]) -> ReplayBuffer:
    """The replay buffer, with what the checkpoint was trained on unless the user named another source."""
    return fill_replay(
        SourceChoice.of(mapping.manifest, config.replay, data=config.stream.data),
        size_HW,
        num_bytes=int(config.replay.replay_mb * 2**20),
        seed=config.run.seed,
        num_classes=mapping.manifest.num_classes,
        num_held_out=config.replay.held_out,
        unknown=mapping.unknown,
    )


def _held_out(config: RuntimeConfig, manifest: Manifest, size_HW: tuple[int, int]) -> HeldOut | None:
    choice = SourceChoice.of(manifest, config.replay, data=config.stream.data)
    return HeldOut(choice, size_HW, config.replay.held_out, config.run.seed) if config.replay.held_out else None


def _adapt(model: SegmentationModel, config: ModelConfig) -> TrainableReport:
    """Attach adapters where the mode wants them and freeze the rest."""
    assert config.trainable is not None  # resolved
    if "adapters" in config.trainable:
        attach_adapters(model, adapters_of(config), generator=torch.Generator().manual_seed(ADAPTER_SEED))
    elif (config.adapter, config.adapter_stages) != (ModelConfig().adapter, ModelConfig().adapter_stages):
        raise ConfigError(
            f"--adapter {config.adapter} --adapter-stages {config.adapter_stages}: no adapters learn by "
            f"--trainable {config.trainable}, the method's own or yours; add --trainable adapters+head"
        )
    return set_trainable(model, config.trainable)


def adapters_of(config: ModelConfig) -> AdapterConfig:
    """What the options say of adapters, with the defaults of the kind."""
    given = AdapterConfig(config.adapter, stages=parse_stages(config.adapter_stages), scale=config.adapter_scale)
    return dataclasses.replace(
        given,
        reduction=config.adapter_reduction or given.reduction,
        rank=config.adapter_rank or given.rank,
    )


def _warm_up(predictor: Predictor, size_HW: tuple[int, int]) -> None:
    """First passes allocate and pick kernels; they must not be a user's first frames."""
    blank = Frame(index=-1, captured_at_s=0.0, image_HWC=np.zeros((*size_HW, 3), np.uint8))
    for _ in range(3):
        predictor.predict(blank)
