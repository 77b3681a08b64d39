"""Command-line arguments to configuration dataclasses, with errors of one line.

tyro turns dataclasses into options; here its boxed messages become what scripts and people can read at a glance:
option, value, expectation, remedy. `--config FILE` and `--resume RUN_DIR` are taken out first: what they hold overlays
the defaults, the options overlay that.
"""

import contextlib
import dataclasses
import difflib
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from runtime.help_page import laid_out
from runtime.misreadings import one_line
from runtime.option_words import ConfigError, option_of

Config = TypeVar("Config")
NO_BASES: Mapping[str, Callable[[Path], Any]] = {}
HELP = frozenset({"--help", "-h"})


def parse(
    config_type: type[Config],
    arguments: Sequence[str],
    *,
    prog: str,
    bases: Mapping[str, Callable[[Path], Config]] = NO_BASES,
) -> Config:
    """The configuration the arguments ask for. Raises ConfigError; prints help and raises SystemExit(0) for --help.

    `bases` are options whose file or folder holds a configuration to begin from, with the function that reads it.
    """
    arguments, default = _take_base(list(arguments), bases)
    spelled = [_to_tyro("--help" if argument in HELP else argument, config_type) for argument in arguments]
    errors = io.StringIO()
    config: Config
    try:
        with _help_from_tyro(config_type) if asks_for_help(arguments) else contextlib.redirect_stderr(errors):
            config, unknown = tyro.cli(
                config_type,
                prog=prog,
                description=_description(config_type, takes_file="--config" in bases),
                args=spelled,
                default=default if default is not None else tyro.MISSING_NONPROP,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(one_line(_from_tyro(errors.getvalue(), config_type), prog)) from None
    if unknown:
        raise ConfigError(_unknown(unknown[0], [*_options(config_type), *bases], prog))
    return config


def asks_for_help(arguments: Sequence[str]) -> bool:
    return not HELP.isdisjoint(arguments)


def _take_base(
    arguments: list[str], bases: Mapping[str, Callable[[Path], Config]]
) -> tuple[list[str], Config | None]:
    """Arguments without the option that names a base, and what it holds. ConfigError where there are two."""
    given = [n for n, argument in enumerate(arguments) if argument.partition("=")[0] in bases]
    if not given:
        return arguments, None
    option, has_value, value = arguments[given[0]].partition("=")
    if len(given) > 1:
        others = {arguments[n].partition("=")[0] for n in given} - {option}
        if others:
            raise ConfigError(f"{option} and {others.pop()}: both say what to begin from; leave one out")
        raise ConfigError(f"{option}: given twice; expected one {_kind(option)}")
    rest = arguments[given[0] + 1 :]
    if not has_value:
        if not rest:
            raise ConfigError(f"{option}: a {_kind(option)} is missing after it; give one or leave the option out")
        value, *rest = rest
    return arguments[: given[0]] + rest, bases[option](Path(value))


def _kind(option: str) -> str:
    return "TOML file" if option == "--config" else "run folder"


def _description(config_type: Any, *, takes_file: bool) -> str:  # a dataclass
    lines = [inspect.getdoc(config_type) or ""]
    if takes_file:
        lines.append("--config FILE reads these options from a TOML file first (a run folder's config.toml is one).")
    lines.append("--debug adds a traceback to an error.")
    return "\n\n".join(lines)


def _field_names(config_type: Any) -> list[str]:  # a dataclass, perhaps of dataclasses
    names = []
    for option in dataclasses.fields(config_type):
        names += _field_names(option.type) if dataclasses.is_dataclass(option.type) else [option.name]
    return names


def _options(config_type: Any) -> list[str]:
    return [option_of(name) for name in _field_names(config_type)]


def _kept_words(config_type: Any) -> dict[str, str]:
    """Options whose fields end in an underscore, as tyro spells them, by ours."""
    return {option_of(name): f"{option_of(name)}_" for name in _field_names(config_type) if name.endswith("_")}


def _to_tyro(argument: str, config_type: Any) -> str:
    option, has_value, value = argument.partition("=")
    return _kept_words(config_type).get(option, option) + has_value + value


def _from_tyro(text: str, config_type: Any) -> str:
    for ours, theirs in _kept_words(config_type).items():
        text = text.replace(theirs, ours)
    return text


@contextlib.contextmanager
def _help_from_tyro(config_type: Any) -> Iterator[None]:
    """What tyro prints, in our spelling and layout."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        sys.stdout.write(laid_out(_from_tyro(printed.getvalue(), config_type)))


def _unknown(argument: str, options: list[str], prog: str) -> str:
    close = difflib.get_close_matches(argument.split("=")[0], options, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}" if close else f"see {prog} --help"
    return f"{argument}: no such option of {prog}; {hint}"


def print_error(message: str) -> None:
    sys.stderr.write(f"udaseg-runtime: {message}\n")
