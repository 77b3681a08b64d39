"""Options that were typed and that the run they were typed for would not heed: each is refused in a line.

    refuse_idle(config, arguments)            # before anything slow, ConfigError for the first of them

Only what was typed is looked at. A file of settings may name all there are: that of an earlier run does, with the rate
its method would have, had it learnt.
"""

from collections.abc import Collection, Mapping, Sequence

from models.checkpoint import load_checkpoint, shipped_checkpoints
from models.tensorfile import prefixing
from runtime.adaptation.methods import METHODS
from runtime.config import ModelConfig, ReplayConfig, RuntimeConfig, StreamConfig
from runtime.option_words import require
from runtime.source import SYNTHETIC


def refuse_idle(config: RuntimeConfig, arguments: Sequence[str]) -> None:
    """ConfigError for an option among the `arguments` of a run that `config`, which they ask for, leaves no use."""
    typed = _options(arguments)
    adaptation, entry = config.adaptation, METHODS.get(config.adaptation.method)
    learning: Mapping[str, object] = {
        "--learning-rate": adaptation.learning_rate,
        "--ema-decay": adaptation.ema_decay,
        "--budget": adaptation.budget,
    }
    learns = entry is None or entry.build is not None  # one that is not known is told later, with names like it
    _heeded(learning, typed, learns, "a method that learns", "leave it out, or choose another --method")
    learning = {**learning, "--with": adaptation.with_}
    _heeded(learning, typed, config.run.adapt != "off", "a run that learns", "leave it out, or --adapt off")
    port = {"--port": config.web.port}
    _heeded(port, typed, config.web.web, "the page to be served", "leave it out, or --no-web, or add --web")
    refuse_idle_folders(config.stream, config.model, config.replay, arguments)


def refuse_idle_folders(
    stream: StreamConfig, model: ModelConfig, replay: ReplayConfig, arguments: Sequence[str]
) -> None:
    """ConfigError for `--source-data` or `--data` among the `arguments` where neither stream nor source is read there.

    The checkpoint says what the source is where no option does; CheckpointInvalid where it cannot.
    """
    typed = _options(arguments)
    if typed.isdisjoint({"--source-data", "--data"}):
        return
    is_rendered = _replays_synthetic(model, replay)
    _heeded(
        {"--source-data": replay.source_data}, typed, not is_rendered,
        "a source that is a data set, and it is synthetic", "leave it out, or name --source LAYOUT:SPLIT",
    )  # fmt: skip
    is_played = stream.dataset is not None or stream.stream.startswith("dataset:")
    _heeded(
        {"--data": stream.data}, typed, is_played or not (is_rendered or replay.source_data is not None),
        "a data set to be read there, and neither stream nor source is one", "add --dataset LAYOUT, or leave it out",
    )  # fmt: skip


def _heeded(
    values: Mapping[str, object], typed: Collection[str], is_heeded: bool, expected: str, remedy: str
) -> None:
    for option, value in values.items():
        require(is_heeded or option not in typed, option, value, expected, remedy)


def _options(arguments: Sequence[str]) -> frozenset[str]:
    """Their names, spelled as we do: underscores are read as well."""
    return frozenset(word.partition("=")[0].replace("_", "-") for word in arguments if word.startswith("--"))


def _replays_synthetic(model: ModelConfig, replay: ReplayConfig) -> bool:
    """False also where that cannot be known yet: a network that brings its own weights must be told its source."""
    if replay.source is not None:
        return replay.source.partition(":")[0] == SYNTHETIC
    if model.checkpoint is None and model.source not in shipped_checkpoints():
        return False
    with prefixing("--checkpoint"):
        return load_checkpoint(model.source)[1].source.dataset == SYNTHETIC
