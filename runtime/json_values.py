"""JSON that every reader accepts: values that are not finite become null, records become objects."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any  # what JSON holds has no narrower type

import numpy as np


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Strict JSON text of records, mappings, sequences and scalars; raises TypeError for arrays and other objects."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, separators=None if indent else (",", ":"))


def plain(value: Any) -> Any:
    """The same value out of dicts, lists, strings, finite numbers, booleans and None."""
    match value:
        case None | bool() | str():
            return value
        case np.generic():
            return plain(value.item())
        case int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"no JSON for {type(value).__name__}; events and summaries hold scalars only")
