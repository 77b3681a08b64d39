"""Command-line arguments to configuration dataclasses, with errors of one line.

tyro turns dataclasses into options; here its boxed messages become what scripts and people can read at a glance:
option, value, expectation, remedy. `--config FILE` is taken out first: the file overlays the defaults, the options
overlay the file.
"""

import contextlib
import dataclasses
import difflib
import inspect
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from runtime.config import ConfigError

Config = TypeVar("Config")
BOX = "\u2502\u256d\u256e\u2570\u256f\u2500"  # the frame tyro draws around messages


def parse(
    config_type: type[Config],
    arguments: Sequence[str],
    *,
    prog: str,
    load: Callable[[Path], Config] | None = None,
) -> Config:
    """The configuration the arguments ask for. Raises ConfigError; prints help and raises SystemExit(0) for --help."""
    arguments, default = _take_config_file(list(arguments), load)
    spelled = ["--help" if argument == "-h" else argument for argument in arguments]
    errors = io.StringIO()
    wants_help = "--help" in spelled
    config: Config
    try:
        with contextlib.nullcontext() if wants_help else contextlib.redirect_stderr(errors):
            config, unknown = tyro.cli(
                config_type,
                prog=prog,
                description=_description(config_type, takes_file=load is not None),
                args=spelled,
                default=default if default is not None else tyro.MISSING_NONPROP,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_one_line(errors.getvalue(), prog)) from None
    if unknown:
        raise ConfigError(_unknown(unknown[0], [*_options(config_type), *(["--config"] if load else [])], prog))
    return config


def _take_config_file(
    arguments: list[str], load: Callable[[Path], Config] | None
) -> tuple[list[str], Config | None]:
    """Arguments without `--config FILE`, and the defaults it holds. ConfigError where it is given twice."""
    given = [n for n, argument in enumerate(arguments) if argument.partition("=")[0] == "--config"]
    if load is None or not given:
        return arguments, None
    if len(given) > 1:
        raise ConfigError("--config: given twice; expected one TOML file, join the two")
    (position,) = given
    _, has_value, value = arguments[position].partition("=")
    rest = arguments[position + 1 :]
    if not has_value:
        if not rest:
            raise ConfigError("--config: a TOML file is missing after it; give one or leave the option out")
        value, *rest = rest
    return arguments[:position] + rest, load(Path(value))


def _description(config_type: Any, *, takes_file: bool) -> str:  # a dataclass
    lines = [inspect.getdoc(config_type) or ""]
    if takes_file:
        lines.append("--config FILE reads these options from a TOML file first (a run folder's config.toml is one).")
    lines.append("--debug adds a traceback to an error.")
    return "\n\n".join(lines)


def _options(config_type: Any) -> list[str]:  # a dataclass, perhaps of dataclasses
    names = []
    for option in dataclasses.fields(config_type):
        if dataclasses.is_dataclass(option.type):
            names += _options(option.type)
        else:
            names.append("--" + option.name.replace("_", "-"))
    return names


def _unknown(argument: str, options: list[str], prog: str) -> str:
    close = difflib.get_close_matches(argument.split("=")[0], options, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}" if close else f"see {prog} --help"
    return f"{argument}: no such option of {prog}; {hint}"


def _one_line(boxed: str, prog: str) -> str:
    """The message inside tyro's box, without frame, title and footer."""
    lines: list[str] = []
    for line in boxed.splitlines():
        text = line.strip(BOX + " ")
        if line.strip().startswith(BOX[1]) or not text:
            if lines and not text:
                break
            continue
        lines.append(text)
    message = " ".join(lines).removeprefix("Error parsing ")
    if checked := re.match(r"\w+: (--.+)", message):  # a section's own check, complete with its remedy
        return checked[1]
    return f"{message or 'the arguments cannot be read'}; see {prog} --help"


def print_error(message: str) -> None:
    sys.stderr.write(f"udaseg-runtime: {message}\n")
