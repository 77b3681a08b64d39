"""Configurations as TOML files: written whole, read as an overlay of the defaults, every fault one line.

    config = load_toml(Path("my.toml"))       # may name a few options only
    path.write_text(to_toml(config))          # names all of them; reads back equal

An option's key is its field's name, without the underscore that keeps a word of Python apart (`with_`).
"""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

from runtime.config import RuntimeConfig
from runtime.option_words import ConfigError, nearest


def load_toml(path: Path) -> RuntimeConfig:
    """A complete configuration from a (possibly partial) TOML file; raises ConfigError in one line."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path}: cannot be read ({error.strerror}); give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: not valid TOML ({error}); see a run folder's config.toml") from error
    config = RuntimeConfig()
    sections = {f.name for f in dataclasses.fields(RuntimeConfig)}
    for section, values in document.items():
        if section not in sections:
            raise ConfigError(f"--config {path}: unknown section [{section}]; {nearest(section, sorted(sections))}")
        if not isinstance(values, dict):
            raise ConfigError(f"--config {path}: {section} must be a section; write [{section}]")
        config = dataclasses.replace(config, **{section: _overlay(getattr(config, section), values, path, section)})
    return config


def to_toml(config: RuntimeConfig) -> str:
    """The configuration as TOML that `load_toml` reads back; unset values are left out."""
    lines: list[str] = []
    for section in dataclasses.fields(config):
        lines.append(f"[{section.name}]")
        part = getattr(config, section.name)
        for option in dataclasses.fields(part):
            value = getattr(part, option.name)
            if value is not None:
                lines.append(f"{option.name.rstrip('_')} = {_toml_value(value)}")
        lines.append("")
    return "\n".join(lines)


def _overlay(part: Any, values: dict[str, Any], path: Path, section: str) -> Any:  # any of the section dataclasses
    options = {f.name.rstrip("_"): f for f in dataclasses.fields(part)}
    changed: dict[str, Any] = {}
    for key, value in values.items():
        if key not in options:
            raise ConfigError(f"--config {path}: unknown key {section}.{key}; {nearest(key, sorted(options))}")
        changed[options[key].name] = _coerce(value, str(options[key].type), f"--config {path}: {section}.{key}")
    return dataclasses.replace(part, **changed)


def _coerce(value: Any, annotation: str, what: str) -> Any:  # a TOML scalar to the field's type
    kind = annotation.replace("<class '", "").replace("'>", "").split(".")[-1] if "class" in annotation else annotation
    if "Path" in kind and isinstance(value, str):
        return Path(value)
    if "Literal" in kind:
        choices = re.findall("'([^']*)'", kind)
        if value not in choices:
            raise ConfigError(f"{what} = {value!r}: expected one of {', '.join(choices)}")
        return value
    accepted: tuple[type, ...] = (str,)
    if "bool" in kind:
        accepted = (bool,)
    elif "float" in kind:
        accepted = (int, float)
    elif "int" in kind:
        accepted = (int,)
    is_accepted = isinstance(value, accepted) and (accepted == (bool,) or not isinstance(value, bool))
    if not is_accepted:
        raise ConfigError(f"{what} = {value!r}: expected {accepted[-1].__name__}; correct the value or delete the line")
    return float(value) if float in accepted else value


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return '"' + "".join(_escaped(character) for character in str(value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    is_plain = character.isprintable() or character == " "
    return character if is_plain else f"\\U{ord(character):08x}"
