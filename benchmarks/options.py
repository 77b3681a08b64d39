"""What the options of benchmarks must satisfy, and what they begin with; each check raises ConfigError, one line."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from benchmarks.conditions import usable_cores
from runtime.adaptation.methods import METHODS
from runtime.config import ReplayConfig
from runtime.option_words import ConfigError, nearest

HELD_OUT = 16  # source samples that runs which are compared are examined on


def with_exam(replay: ReplayConfig) -> ReplayConfig:
    """The same source, some samples of it held out so that forgetting is measured."""
    return replace(replay, held_out=replay.held_out or HELD_OUT)


def check_names(option: str, given: str, known: Collection[str]) -> None:
    """Every comma-separated name must be known, and there once."""
    names = given.split(",")
    for name in names:
        if name not in known:
            raise ConfigError(f"{option} {given}: {name!r} is not known; {nearest(name, list(known))}")
    check_each_once(option, given, names)


def check_seeds(given: str) -> None:
    """Comma-separated seeds of runs, each once: two runs of one seed are one."""
    words = given.split(",")
    if not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
        raise ConfigError(f"--seeds {given}: expected whole numbers below 10^18 and commas; for example --seeds 0,1,2")
    check_each_once("--seeds", given, [int(word) for word in words])


def check_each_once(option: str, given: str, values: Sequence[object]) -> None:
    """What is given twice would be run twice, in one place."""
    if len(set(values)) < len(values):
        raise ConfigError(f"{option} {given}: expected each once; leave out what is there again")


def check_at_least(option: str, value: int, least: int) -> None:
    """A count with a lower bound."""
    if value < least:
        raise ConfigError(f"{option} {value}: expected {least} or more")


def check_learns(method: str) -> None:
    """A benchmark of learning needs a method that does."""
    learning = [name for name, entry in METHODS.items() if entry.build is not None]
    if method not in learning:
        raise ConfigError(f"--method {method}: expected a method that learns; {nearest(method, learning)}")


def check_above_zero(option: str, value: float, *, remedy: float) -> None:
    """A time or a factor."""
    if value <= 0:
        raise ConfigError(f"{option} {value}: expected above 0; try {remedy:g}")


def check_cores(cores: int) -> None:
    """As many as this process may use, at most."""
    if not 1 <= cores <= len(usable_cores()):
        raise ConfigError(f"--cores {cores}: expected 1 to {len(usable_cores())}, the cores there are")


def default_cores() -> int:
    """Two, or the one there is."""
    return min(2, len(usable_cores()))
