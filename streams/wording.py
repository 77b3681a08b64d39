"""Words of error messages: what the user typed, and which known names are like it."""

import difflib
from collections.abc import Iterable


def shown(typed: str) -> str:
    """As typed, or quoted and escaped where that would not be one visible line."""
    return typed if typed and typed.isprintable() else repr(typed)


def nearest(name: str, known: Iterable[str]) -> str:
    """`nearest: a, b`: up to three known names like this one, or, where none is like it, `known: ...`."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"nearest: {', '.join(close)}" if close else f"known: {', '.join(names)}"
