"""What the options of benchmarks must satisfy; each check raises ConfigError with one line."""

from collections.abc import Collection

from runtime.config import ConfigError, nearest


def check_names(option: str, given: str, known: Collection[str]) -> None:
    """Every comma-separated name must be known."""
    for name in given.split(","):
        if name not in known:
            raise ConfigError(f"{option} {given}: {name!r} is not known; {nearest(name, list(known))}")


def check_at_least(option: str, value: int, least: int) -> None:
    """A count with a lower bound."""
    if value < least:
        raise ConfigError(f"{option} {value}: expected {least} or more")
