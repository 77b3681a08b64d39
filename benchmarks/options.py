"""What the options of benchmarks must satisfy, and what they begin with; each check raises ConfigError, one line."""

from collections.abc import Collection
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
    """Every comma-separated name must be known."""
    for name in given.split(","):
        if name not in known:
            raise ConfigError(f"{option} {given}: {name!r} is not known; {nearest(name, list(known))}")


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
