"""Configuration of a run: frozen dataclasses, one per component, without torch so that `--help` is quick.

The command line is generated from `RuntimeConfig`; field docstrings are its help. `--config FILE.toml` overlays the
defaults (`config_file.py`) and flags overlay the file. Only `build.py` and the command line read these; what lies
below takes values.
"""

import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from runtime.option_words import (
    ConfigError,
    nearest,
    option_of,
    parse_components,
    parse_latency,
    parse_size,
    parse_stages,
    parse_threads,
    require,
)

Trainable = Literal["adapters+head", "adapters", "head", "norm", "full"]
Policy = Literal["guarded", "bare"]
DEFAULT_MODEL = "segformer_b0"
ADAPTERS = ("adaptformer", "lora", "ssf")  # those of models.adapters, which is not imported for the sake of --help


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Where frames come from."""

    stream: str = "rain_sequence"
    """A preset (see `udaseg-runtime streams`), camera:0, a video, a directory of images, or dataset:LAYOUT:SPLIT."""
    dataset: str | None = None
    """LAYOUT or LAYOUT:SPLIT: render the preset's weather on these real frames instead of the synthetic world."""
    data: Path | None = None
    """Folder of the data set."""
    fps: float | None = None
    """Frames per second a recording or a preset is played at; its own rate by default."""
    max_frames: int | None = None
    """Stop after so many frames."""
    rounds: int = 1
    """Play a stream that has an end so many times, one after the other."""
    frames_per_visit: int | None = None
    """Frames of a synthetic preset's usual visit, the others in proportion; 75 by default."""
    size: str | None = None
    """HxW that frames are brought to; the size the source model was trained at by default."""

    def __post_init__(self) -> None:
        require(
            self.fps is None or 0 < self.fps < math.inf,
            "--fps", self.fps, "a rate above 0", "leave it out for the own rate",
        )  # fmt: skip
        counts = {"--max-frames": self.max_frames, "--rounds": self.rounds, "--frames-per-visit": self.frames_per_visit}
        for option, count in counts.items():
            require(count is None or count > 0, option, count, "a count above 0", "leave it out for the default")
        if self.size is not None:
            parse_size(self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network, its weights and the part of it that may learn."""

    model: str | None = None
    """Architecture (see `udaseg-runtime models`); the checkpoint's by default, segformer_b0 where none is given."""
    checkpoint: str | None = None
    """Source checkpoint: a file, or the name of a shipped one; the model's shipped one by default."""
    trainable: Trainable | None = None
    """What may learn, the method's own choice by default; everything else stays bitwise unchanged."""
    adapter: str = "adaptformer"
    """adaptformer (bottlenecks), lora (low-rank updates), ssf (scale and shift); the last two are free to serve."""
    adapter_stages: str = "1,2,3,4"
    """Stages of the encoder that get adapters, with commas between; what comes before the first is never retrained."""
    adapter_reduction: int | None = None
    """Channels of a stage per channel of a bottleneck; for adaptformer, 4 by default."""
    adapter_rank: int | None = None
    """Rank of each update; for lora, 8 by default."""
    adapter_scale: float = 1.0
    """Factor on what adapters add; 0.1 in AdaptFormer's paper, but online there are only tens of steps to learn in."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """What networks answer in; auto is bf16 where the hardware computes in it. Learning stays in fp32."""

    @property
    def source(self) -> str:
        """The checkpoint meant: a file, or the name of a shipped one."""
        return self.checkpoint or f"{self.model or DEFAULT_MODEL}_synthetic"

    def __post_init__(self) -> None:
        require(0 < self.adapter_scale < math.inf, "--adapter-scale", self.adapter_scale, "above 0", "try 1.0")
        if self.adapter not in ADAPTERS:
            raise ConfigError(f"--adapter {self.adapter}: no such adapters; {nearest(self.adapter, list(ADAPTERS))}")
        parse_stages(self.adapter_stages)
        for value, option, kind in (
            (self.adapter_reduction, "--adapter-reduction", "adaptformer"),
            (self.adapter_rank, "--adapter-rank", "lora"),
        ):
            if value is not None:
                require(1 <= value <= 64, option, value, "1 to 64", "leave it out for the default")
                require(self.adapter == kind, option, value, f"--adapter {kind}", "leave one of the two out")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationConfig:
    """How the model learns while it runs."""

    method: str = "styled"
    """Adaptation method (see `udaseg-runtime methods`)."""
    with_: str = ""
    """Components the method is joined with (see `udaseg-runtime methods`): NAME or NAME=WEIGHT, with commas between."""
    learning_rate: float | None = None
    """Step size of the optimizer; the method's own by default."""
    ema_decay: float | None = None
    """Per-step decay of the averaged (served) weights, 0 to serve the student; the method's own by default."""
    policy: Policy | None = None
    """guarded: learn away from the source, serve what is worth it; bare: learn from every frame, serve every outcome;
    the method's own by default."""
    budget: int = 16
    """After a shift, learn from every one of so many frames, then from one in eight."""
    serve_below: float = 0.985
    """What was learnt serves where it answers as frozen on less than this share of pixels; the lower that is, and the
    further the weather from the source, the more of it. 1 serves all of it always."""

    def __post_init__(self) -> None:
        parse_components(self.with_)
        require(0 < self.serve_below <= 1, "--serve-below", self.serve_below, "above 0, at most 1", "try 0.985")
        rate, decay = self.learning_rate, self.ema_decay
        require(rate is None or 0 < rate <= 1, "--learning-rate", rate, "above 0, at most 1", "try 1e-3")
        require(decay is None or 0 <= decay < 1, "--ema-decay", decay, "0 to below 1", "try 0.9")
        require(self.budget >= 0, "--budget", self.budget, "0 or more frames", "try 16")

    @property
    def title(self) -> str:
        """The method with its components, as runs and tables name it: `styled`, `styled+mic+tie=0.5`."""
        return "+".join([self.method, *self.with_.split(",")]) if self.with_ else self.method


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftConfig:
    """How shifts of the input distribution are found."""

    detector: str = "jumps"
    """jumps, or one that hears a single signal: hysteresis, windowed, page_hinkley, cusum, two_ema."""
    signal: str = "style"
    """What the detector hears: style, frequency, confidence, classes or light; jumps hears style alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """The labelled source samples the learner replays."""

    source: str | None = None
    """synthetic, or LAYOUT:SPLIT; what the checkpoint was trained on by default."""
    source_data: Path | None = None
    """Folder of the source data set; --data by default."""
    replay_mb: float = 64.0
    """Upper bound of the replay buffer in MiB."""
    held_out: int = 0
    """Source samples, at most, that are kept out of the replay; the newest version is scored on them at the end of the
    run, beside the source model, for what was forgotten."""

    def __post_init__(self) -> None:
        require(self.held_out >= 0, "--held-out", self.held_out, "0 or more samples", "try 16")
        require(0 < self.replay_mb < math.inf, "--replay-mb", self.replay_mb, "a size above 0", "try 64")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryConfig:
    """What was learnt for domains that may return."""

    library: Path | None = None
    """File of known domains: read at the start where it exists, written at the end."""
    library_mb: float = 64.0
    """Upper bound of the weights kept by domain in MiB; 0 keeps none, and a returning domain is learnt anew."""

    def __post_init__(self) -> None:
        require(0 <= self.library_mb < math.inf, "--library-mb", self.library_mb, "0 or more", "try 64")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How the run goes and what it leaves behind."""

    pace: Literal["live", "max", "lockstep"] = "live"
    """live: newest frame wins, drops counted; max: lossless, as fast as it goes; lockstep: deterministic."""
    adapt: Literal["thread", "gaps", "inline", "off"] = "gaps"
    """gaps: learn while prediction waits for a frame (pace live; else as thread); thread: beside prediction; inline: in
    turn with it, as in lockstep; off: watch for shifts, never learn."""
    latency: str | None = None
    """Play pace lockstep on a simulated clock, where an answer and a step take P+S ms, or as long as here (measured),
    or as in the run in the folder named here (best one in lockstep); a version serves from its step's end on."""
    threads: str | None = None
    """Compute threads of prediction and of learning as N+M, say 1+1; by the number of cores by default."""
    seed: int = 0
    """Seed of stream, replay and learning."""
    shadow: float | None = None
    """Share of frames the frozen model also predicts, 0 to 1; 1 in lockstep, 0.2 otherwise."""
    run_dir: Path | None = None
    """The run folder itself; must not exist yet. runs/<UTC time>-<stream>-<method> by default."""
    resume: Path | None = None
    """Go on with the interrupted run in this folder, by its own config.toml."""
    score_classes: str | None = None
    """Subsets of the classes to score as well, with commas between: synthia16, synthia13, viper15, camvid11."""
    quiet: bool = False
    """Print only the table at the end."""
    checkpoint_every_s: float = 10.0
    """Seconds between checkpoints, from which an interrupted run goes on."""

    def __post_init__(self) -> None:
        if self.threads is not None:
            parse_threads(self.threads)
        if self.latency is not None:
            parse_latency(self.latency)
            require(
                self.pace == "lockstep", "--latency", self.latency, "pace lockstep", "add --pace lockstep"
            )
            require(
                self.adapt != "inline", "--latency", self.latency, "learning in gaps or beside", "leave --adapt out"
            )
        require(0 <= self.seed < 2**63, "--seed", self.seed, "0 to below 2^63", "try 0")  # generators take no more
        require(
            self.shadow is None or 0 <= self.shadow <= 1, "--shadow", self.shadow, "0 to 1", "0 turns the shadow off"
        )
        require(
            self.checkpoint_every_s > 0,
            "--checkpoint-every-s", self.checkpoint_every_s, "above 0", "try 10",
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The page, metrics and health endpoints, on loopback."""

    port: int = 9464
    """Port of page, metrics and health; 0 picks a free one."""
    web: bool = True
    """Serve them at all."""

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, "--port", self.port, "0 to 65535", "0 picks a free one")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """Segment every frame of a stream and adapt the model to what it sees."""

    stream: StreamConfig = field(default_factory=StreamConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    shift: ShiftConfig = field(default_factory=ShiftConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    library: LibraryConfig = field(default_factory=LibraryConfig)
    run: RunConfig = field(default_factory=RunConfig)
    web: WebConfig = field(default_factory=WebConfig)

    def __post_init__(self) -> None:
        """A file name may hold any bytes; one that is no text fits into no config.toml, which is to be read back."""
        for section in fields(self):
            for option, value in asdict(getattr(self, section.name)).items():
                is_text = re.search("[\ud800-\udfff]", str(value)) is None  # bytes that were not UTF-8
                require(is_text, option_of(option), value, "a path in UTF-8", "rename what it names")
