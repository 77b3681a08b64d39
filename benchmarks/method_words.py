"""A method as the options of benchmarks name it: with components, and with settings in place of its recipe's.

    adaptation = adaptation_of("dacs+mic=0.5@learning-rate=1e-4@ema-decay=0.9")
    model = model_of("styled@trainable=adapters+head@adapter=lora@adapter-stages=3-4", ModelConfig())

Tables name it by the same words, so a method as published and the same one under other settings are two rows.
"""

import re
from dataclasses import replace
from typing import cast, get_args

from evaluation.compare import with_track
from runtime.adaptation.methods import METHODS
from runtime.config import AdaptationConfig, ModelConfig, Trainable
from runtime.option_words import ConfigError, nearest

NUMBERS = ("learning-rate", "ema-decay")
OF_THE_MODEL = ("trainable", "adapter", "adapter-stages", "adapter-rank", "adapter-reduction")


def method_of(words: str) -> str:
    """The bare name."""
    return re.split("[+@]", words, maxsplit=1)[0]


def named(method: str) -> str:
    """`styled (source-replay)`: the bare name of a method, with what it needs besides the stream."""
    return with_track(method, METHODS[method].track)


def adaptation_of(words: str) -> AdaptationConfig:
    """METHOD, then +NAME or +NAME=WEIGHT for each component, then @SETTING=VALUE for each setting; ConfigError in one
    line for settings there are none of. Whether there is such a method is the caller's to check.
    """
    method, *components = words.partition("@")[0].split("+")
    settings = _settings(words)
    return AdaptationConfig(
        method=method,
        with_=",".join(components),
        learning_rate=_number(words, "learning-rate", settings),
        ema_decay=_number(words, "ema-decay", settings),
    )


def model_of(words: str, given: ModelConfig) -> ModelConfig:
    """`given` with what the words say learns instead: @trainable=MODE, @adapter=KIND, @adapter-rank=N,
    @adapter-reduction=N and @adapter-stages=FIRST-LAST (commas are between methods); ConfigError in one line.
    """
    settings = _settings(words)
    mode = settings.get("trainable", given.trainable)
    if mode is not None and mode not in get_args(Trainable):
        raise ConfigError(f"--methods {words}: no trainable {mode!r}; {nearest(mode, list(get_args(Trainable)))}")
    return replace(
        given,
        trainable=cast(Trainable | None, mode),
        adapter=settings.get("adapter", given.adapter),
        adapter_stages=_stages(words, settings) or given.adapter_stages,
        adapter_rank=_count(words, "adapter-rank", settings) or given.adapter_rank,
        adapter_reduction=_count(words, "adapter-reduction", settings) or given.adapter_reduction,
    )


def with_setting(words: str, name: str, value: float) -> str:
    """The same method, with one more setting."""
    return f"{words}@{name}={value:g}"


def _settings(words: str) -> dict[str, str]:
    """Values by name, as they were typed."""
    settings: dict[str, str] = {}
    for setting in words.split("@")[1:]:
        name, _, value = setting.partition("=")
        if name not in NUMBERS + OF_THE_MODEL:
            raise ConfigError(f"--methods {words}: no setting {name!r}; {nearest(name, [*NUMBERS, *OF_THE_MODEL])}")
        if name in settings:
            raise ConfigError(f"--methods {words}: a setting is given twice; give each once")
        settings[name] = value
    return settings


def _number(words: str, name: str, settings: dict[str, str]) -> float | None:
    value = settings.get(name)
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?(e-?[0-9]{1,2})?", value, flags=re.ASCII) is None:
        raise ConfigError(f"--methods {words}: {name} is {value!r}, expected a number; for example @{name}=0.001")
    return float(value)


def _count(words: str, name: str, settings: dict[str, str]) -> int | None:
    value = settings.get(name)
    if value is None:
        return None
    if re.fullmatch("[1-9][0-9]?", value, flags=re.ASCII) is None:
        raise ConfigError(f"--methods {words}: {name} is {value!r}, expected a count; for example @{name}=4")
    return int(value)


def _stages(words: str, settings: dict[str, str]) -> str | None:
    """FIRST-LAST, or one stage, as the option lists them."""
    value = settings.get("adapter-stages")
    if value is None:
        return None
    first, _, last = value.partition("-")
    if re.fullmatch("[1-4](-[1-4])?", value, flags=re.ASCII) is None or (last or first) < first:
        raise ConfigError(f"--methods {words}: adapter-stages is {value!r}, expected FIRST-LAST; for example 3-4")
    return ",".join(str(stage) for stage in range(int(first), int(last or first) + 1))
