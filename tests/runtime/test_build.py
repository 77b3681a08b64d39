"""A configuration becomes the parts it describes, or one line."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from models.segformer import SegmentationModel
from models.tensorfile import CheckpointInvalid
from models.trainable import adaptable_tensors, replica
from runtime.adaptation.method import Materials, Method
from runtime.adaptation.methods import METHODS
from runtime.build import adapters_of, build
from runtime.config import ModelConfig
from runtime.events import AdaptationStep, Prediction, ShiftScore, SnapshotTaken
from runtime.live import Live
from runtime.lockstep import Lockstep
from runtime.observer import Event
from runtime.option_words import ConfigError
from streams.protocol import StreamNotOpened, UnknownStream
from streams.stream import open_stream
from tests.fakes import ManualClock

PATIENCE_S = 60.0


def refusal(config, kind):
    with pytest.raises(kind) as caught:
        build(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_parts_are_those_of_the_configuration(tiny_world) -> None:
    parts = build(tiny_world.config(stream={"max_frames": 5}))
    assert (parts.stream.name, parts.stream.num_frames, parts.size_HW) == ("camvid_test_dusk", 5, (32, 64))
    assert parts.device == torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert parts.report.mode == "adapters" and 0 < parts.report.trainable < parts.report.total
    assert (parts.weights.latest.number, len(parts.replay)) == (0, 20)
    assert parts.weights.source.tensors.keys() == adaptable_tensors(parts.model).keys()


@pytest.mark.parametrize(("max_frames", "expected"), [(None, 36), (20, 20)])
def test_rounds_are_played_up_to_the_number_of_frames_asked_for(tiny_world, max_frames, expected) -> None:
    stream = build(tiny_world.config(stream={"rounds": 3, "max_frames": max_frames})).stream
    assert stream.num_frames == expected
    assert [frame.index for frame in stream] == list(range(expected))


@pytest.mark.parametrize(("pace", "driver"), [("lockstep", Lockstep), ("max", Live), ("live", Live)])
def test_the_pace_chooses_the_driver(tiny_world, pace, driver) -> None:
    assert isinstance(build(tiny_world.config(run={"pace": pace})).driver, driver)


@pytest.mark.parametrize("kind", ["lora", "ssf"])
def test_adapters_are_of_the_kind_and_in_the_stages_asked_for(tiny_world, kind) -> None:
    model = build(tiny_world.config(model={"adapter": kind, "adapter_stages": "3,4"})).model
    stages = {name.split(".")[2] for name in model.adaptable_names if name.startswith("encoder.")}
    kinds = {type(module).__name__ for name, module in model.named_modules() if name.endswith(".adapter")}
    assert stages == {"2", "3"} and kinds == {"lora": {"LowRank"}, "ssf": {"ScaleShift"}}[kind]


def test_the_defaults_of_a_kind_are_those_of_its_paper_where_nothing_is_said() -> None:
    assert (adapters_of(ModelConfig()).reduction, adapters_of(ModelConfig()).scale) == (4, 1.0)
    lora = adapters_of(ModelConfig(adapter="lora", adapter_rank=2, adapter_stages="4"))
    assert (lora.kind, lora.rank, lora.stages) == ("lora", 2, (4,))


def test_adapters_that_could_not_learn_are_refused(tiny_world) -> None:
    with pytest.raises(ConfigError, match="--adapter lora --adapter-stages 3,4: no adapters learn by --trainable head"):
        build(tiny_world.config(model={"adapter": "lora", "adapter_stages": "3,4", "trainable": "head"}))


@pytest.mark.parametrize(("name", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_all_networks_of_a_run_answer_in_the_precision_asked_for(tiny_world, name, expected) -> None:
    model = build(tiny_world.config(model={"precision": name})).model
    assert model.answers_in == replica(model).answers_in == expected


@pytest.mark.parametrize("mode", ["adapters", "head", "norm", "full"])
def test_every_trainable_mode_builds(tiny_world, mode) -> None:
    parts = build(tiny_world.config(model={"trainable": mode}))
    assert parts.report.mode == mode
    assert any(".adapter." in name for name, _ in parts.model.named_parameters()) == ("adapters" in mode)


def test_a_size_given_is_the_size_served(tiny_world) -> None:
    parts = build(tiny_world.config(stream={"size": "48x40"}))
    assert parts.size_HW == parts.replay.size_HW == (48, 40)
    assert next(iter(parts.stream)).image_HWC.shape == (48, 40, 3)


def test_weather_is_rendered_on_a_data_set(tiny_world) -> None:
    parts = build(tiny_world.config(stream={"stream": "rain_sequence", "dataset": "camvid:test_day"}))
    assert parts.stream.num_frames == 11 * 6 and next(iter(parts.stream)).label_HW is not None


@pytest.mark.parametrize(
    ("sections", "kind", "start"),
    [
        ({"adaptation": {"method": "dacz"}}, ConfigError, "--method dacz: no such method; nearest: dacs"),
        ({"model": {"model": "segformer"}}, ConfigError, "--model segformer: no such model; nearest: segformer_b"),
        ({"model": {"checkpoint": "nowhere"}}, CheckpointInvalid, "--checkpoint nowhere: neither a file nor"),
        ({"stream": {"stream": "fog_sequenze"}}, UnknownStream, "--stream fog_sequenze: no such stream"),
        ({"stream": {"stream": "./none.mp4"}}, StreamNotOpened, "--stream ./none.mp4: no such file"),
        ({"replay": {"replay_mb": 0.01}}, ConfigError, "--replay-mb"),
        ({"library": {"library": Path("none/known")}}, ConfigError, "--library none/known: expected a file"),
        ({"library": {"library": Path("tests")}}, ConfigError, "--library tests: expected a file"),
        ({"library": {"library": Path("x"), "library_mb": 0.0}}, ConfigError, "--library x: --library-mb 0 keeps"),
        ({"library": {"library": Path("x")}, "adaptation": {"method": "frozen"}}, ConfigError, "--library x: no"),
        ({"library": {"library": Path("README.md")}}, CheckpointInvalid, "--library README.md: not a complete"),
        ({"shift": {"detector": "cusums"}}, ConfigError, "--detector cusums: no such detector; nearest: cusum"),
        ({"shift": {"signal": "stile"}}, ConfigError, "--signal stile: no such signal; nearest: style"),
        ({"shift": {"signal": "classes"}}, ConfigError, "--signal classes: the detector jumps hears style alone"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(tiny_world, sections, kind, start) -> None:
    assert refusal(tiny_world.config(**sections), kind).startswith(start)


@pytest.mark.parametrize("signal", ["classes", "light"])
def test_a_run_hears_the_signal_asked_for(tiny_world, signal) -> None:
    """The light decoder is fitted at the start: the checkpoint has none."""
    heard = []
    for name in ("style", signal):
        seen: list[Event] = []
        shift = {"detector": "cusum", "signal": name}
        config = tiny_world.config(stream={"max_frames": 4}, shift=shift, run={"pace": "lockstep"})
        build(config).driver.run(seen.append, threading.Event())
        heard.append([event.score for event in seen if isinstance(event, ShiftScore)])
    assert len(heard[0]) == len(heard[1]) == 4
    assert np.isfinite(heard).all() and not np.allclose(heard[0], heard[1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused(tiny_world) -> None:
    assert refusal(tiny_world.config(model={"device": "cuda"}), ConfigError).startswith("--device cuda: no CUDA device")


def test_all_runs_begin_with_the_same_weights_so_that_one_can_take_up_what_another_learnt(tiny_world) -> None:
    first, other = (build(tiny_world.config(run={"seed": seed})) for seed in (0, 1))
    assert first.weights.source_digest == other.weights.source_digest
    assert any(".adapter.down" in name for name in first.weights.source.tensors)


class Told:
    """A stream that tells when its first frame is asked for."""

    def __init__(self, stream, tell: Callable[[], None]) -> None:
        self._stream = stream
        self._tell = tell

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def __iter__(self):
        self._tell()
        yield from self._stream


def test_the_model_that_serves_is_warm_before_the_first_frame(tiny_world) -> None:
    """It has answered pictures of the stream's size: what first passes allocate and pick keeps no frame waiting."""
    passes: list[tuple[SegmentationModel, torch.Size]] = []
    num_before: list[int] = []

    def note_pass(module, inputs, _) -> None:
        if isinstance(module, SegmentationModel):
            passes.append((module, inputs[0].shape))

    def open_and_tell(words, options):
        return Told(open_stream(words, options), lambda: num_before.append(len(passes)))

    config = tiny_world.config(stream={"max_frames": 1}, run={"pace": "lockstep"})
    hook = register_module_forward_hook(note_pass)
    try:
        build(config, open_with=open_and_tell).driver.run(lambda _: None, threading.Event())
    finally:
        hook.remove()
    serving, size = passes[num_before[0]]
    assert size == (1, 3, 32, 64)
    assert sum(module is serving and shape == size for module, shape in passes[: num_before[0]]) >= 3


class InTurn:
    """A stream whose next frame comes, a period later by the clock, once all that the last one set off is over."""

    def __init__(self, stream, clock: ManualClock) -> None:
        self._stream = stream
        self._clock = clock
        self.is_over = threading.Semaphore(1)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def __iter__(self):
        for frame in self._stream:
            assert self.is_over.acquire(timeout=PATIENCE_S)
            self._clock.advance(1.01 / self._stream.fps)  # never a rounding error before it is due
            yield frame


def test_a_run_learns_in_the_gaps_between_predictions(tiny_world) -> None:
    """By a clock of its own, so that no frame is late however slow the machine; a frame ends with its snapshot."""
    clock, seen, streams = ManualClock(), [], []

    def open_in_turn(words, options):
        streams.append(InTurn(open_stream(words, options), clock))
        return streams[0]

    def note(event: Event) -> None:
        seen.append(event)
        if isinstance(event, SnapshotTaken):
            streams[0].is_over.release()

    config = tiny_world.config(run={"adapt": "gaps", "pace": "live", "checkpoint_every_s": 0.01})
    build(config, clock=clock, open_with=open_in_turn).driver.run(note, threading.Event())
    outcomes = [event.outcome for event in seen if isinstance(event, AdaptationStep)]
    assert outcomes == ["applied"] * len(outcomes) and len(outcomes) > 6
    assert sum(isinstance(event, Prediction) for event in seen) == 12


def test_methods_time_their_steps_without_the_waits_in_gaps(tiny_world) -> None:
    handed: list[Materials] = []

    def built(given: Materials) -> Method:
        handed.append(given)
        return METHODS["styled"].build(given)

    clock, methods = ManualClock(), {"styled": replace(METHODS["styled"], build=built)}
    runs = ({"pace": "live"}, {"pace": "live", "adapt": "thread"}, {"pace": "lockstep"})
    gaps, _, _ = (build(tiny_world.config(run=run), clock=clock, methods=methods) for run in runs)
    assert [given.clock for given in handed] == [gaps.driver._rules.slack.working_s, clock, None]


def test_a_bound_too_small_for_one_domain_is_told(tiny_world) -> None:
    faults = build(tiny_world.config(library={"library_mb": 0.1})).faults
    assert faults.get_nowait().detail.startswith("--library-mb 0.1: no domain is kept, as one takes ")
    assert build(tiny_world.config()).faults.empty()
