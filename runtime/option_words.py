"""Words that users type as values of options, read strictly; every error is one line that says what to type instead."""

import difflib
import re
from pathlib import Path


class ConfigError(ValueError):
    """A setting cannot be used; the message is one line with option, value, expectation and remedy. Exit code 2."""


def require(holds: bool, option: str, value: object, expected: str, remedy: str) -> None:
    """ConfigError in the form that all of them have, unless it `holds`."""
    if not holds:
        raise ConfigError(f"{option} {value}: expected {expected}; {remedy}")


def parse_size(text: str, *, option: str = "--size") -> tuple[int, int]:
    """`HxW` in pixels to (H, W); both 32 to 8192."""
    height, _, width = text.partition("x")
    sides = [int(side) for side in (height, width) if re.fullmatch("[0-9]{1,5}", side)]
    if len(sides) != 2 or not all(32 <= side <= 8192 for side in sides):
        raise ConfigError(f"{option} {text}: expected HxW with 32 to 8192 pixels each; for example {option} 256x512")
    return sides[0], sides[1]


def parse_threads(text: str) -> tuple[int, int]:
    """`N+M` to (N, M); both 1 to 512."""
    counts = [int(count) for count in text.split("+") if re.fullmatch("[0-9]{1,3}", count)]
    if len(counts) != 2 or text.count("+") != 1 or not all(1 <= count <= 512 for count in counts):
        raise ConfigError(f"--threads {text}: expected N+M with 1 to 512 threads each; for example --threads 1+1")
    return counts[0], counts[1]


def parse_stages(text: str) -> tuple[int, ...]:
    """`3,4` to (3, 4): some of 1 to 4, each once."""
    stages = tuple(int(word) for word in text.split(",") if word in ("1", "2", "3", "4"))
    if len(stages) != text.count(",") + 1 or len(set(stages)) != len(stages):
        raise ConfigError(f"--adapter-stages {text}: expected some of 1,2,3,4; for example --adapter-stages 3,4")
    return stages


def parse_components(text: str) -> dict[str, float | None]:
    """`NAME,NAME=WEIGHT` to weights by name, None where the component's own is meant; empty text names none."""
    weights: dict[str, float | None] = {}
    for word in text.split(",") if text else []:
        found = re.fullmatch(r"([a-z][a-z0-9-]*)(=([0-9]{1,9}(\.[0-9]{0,9})?(e-?[0-9]{1,2})?))?", word, flags=re.ASCII)
        if found is None or found[1] in weights:
            fault = "each once" if found else "NAME or NAME=WEIGHT, weights 0 or more"
            raise ConfigError(f"--with {text}: expected components by commas, {fault}; for example --with mic,tie=0.5")
        weights[found[1]] = float(found[3]) if found[3] else None
    return weights


def option_of(field_name: str) -> str:
    """The option a field is set by; a trailing underscore keeps a word of Python apart (`with_`)."""
    return "--" + field_name.rstrip("_").replace("_", "-")


def parse_latency(text: str) -> tuple[float, float] | Path | None:
    """`P+S` in milliseconds to (P, S), both above 0; None for `measured`; else the run folder that it names."""
    if text == "measured":
        return None
    if (Path(text) / "events.jsonl").is_file():
        return Path(text)
    times_ms = [float(part) for part in text.split("+") if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", part)]
    if len(times_ms) != 2 or text.count("+") != 1 or min(times_ms) <= 0:
        raise ConfigError(
            f"--latency {text}: expected P+S in ms, measured, or the folder of a run; for example --latency 60+120"
        )
    return times_ms[0], times_ms[1]


def nearest(name: str, names: list[str]) -> str:
    """Names like `name`, to end an error message with."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)[:12]
    return "nearest: " + ", ".join(close)
