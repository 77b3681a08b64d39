"""A method as the options of benchmarks name it: with components, and with settings in place of its recipe's.

    adaptation = adaptation_of("dacs+mic=0.5@learning-rate=1e-4@ema-decay=0.9")

Tables name it by the same words, so a method as published and the same one under other settings are two rows.
"""

import re

from evaluation.compare import with_track
from runtime.adaptation.methods import METHODS
from runtime.config import AdaptationConfig
from runtime.option_words import ConfigError, nearest

SETTINGS = ("learning-rate", "ema-decay")


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
    named, *settings = words.split("@")
    method, *components = named.split("+")
    values = dict(_setting(words, setting) for setting in settings)
    if len(values) < len(settings):
        raise ConfigError(f"--methods {words}: a setting is given twice; give each once")
    return AdaptationConfig(
        method=method,
        with_=",".join(components),
        learning_rate=values.get("learning-rate"),
        ema_decay=values.get("ema-decay"),
    )


def with_setting(words: str, name: str, value: float) -> str:
    """The same method, with one more setting."""
    return f"{words}@{name}={value:g}"


def _setting(words: str, setting: str) -> tuple[str, float]:
    name, _, value = setting.partition("=")
    if name not in SETTINGS:
        raise ConfigError(f"--methods {words}: no setting {name!r}; {nearest(name, list(SETTINGS))}")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?(e-?[0-9]{1,2})?", value, flags=re.ASCII) is None:
        raise ConfigError(f"--methods {words}: {name} is {value!r}, expected a number; for example @{name}=0.001")
    return name, float(value)
