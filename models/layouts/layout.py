"""How a program names the tensors of a network, and what our names for them are: what a layout has to say.

    renaming = rename(NVLABS, tensors)            # renaming.ours: {"encoder.stages.0.norm.weight": "norm1.weight", ...}

A layout is data. Names are given as patterns: `{i}` is a stage, `{j}` a block or branch, `*` the last word. What our
names hold may still be arranged otherwise than in our network (keys apart from values, embeddings in another order);
`models.rearrangement` sees to that.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STAGE, BLOCK, LAST = "{i}", "{j}", "*"


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """`names`: its patterns and ours; stages count from `first_stage` there and from 0 here.

    `idle`: patterns of tensors that are left behind, with the reason. `prefixes` may stand before a name.
    `fuses_shallow_first`: its head reads the embeddings of stages 1 to 4 in that order; ours begins with the deepest.
    """

    name: str
    title: str
    names: Mapping[str, str]
    idle: Mapping[str, str]
    prefixes: tuple[str, ...] = ()
    first_stage: int = 0
    fuses_shallow_first: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Renaming:
    """What became of a file's names: `ours` to theirs, idle ones with reasons, and those nothing is known of."""

    layout: Layout
    ours: dict[str, str]
    idle: dict[str, str]
    unknown: tuple[str, ...]


def rename(layout: Layout, names: Iterable[str]) -> Renaming:
    """Our name for each of theirs."""
    rules = [(compiled(pattern), ours) for pattern, ours in layout.names.items()]
    idle_rules = [(compiled(pattern), reason) for pattern, reason in layout.idle.items()]
    ours: dict[str, str] = {}
    idle: dict[str, str] = {}
    unknown = []
    for name in names:
        plain = _without_prefix(name, layout.prefixes)
        if (found := _first(rules, plain)) is not None:
            ours[_filled(found[1], found[0], layout.first_stage)] = name
        elif (reason := _first(idle_rules, plain)) is not None:
            idle[name] = reason[1]
        else:
            unknown.append(name)
    return Renaming(layout, ours, idle, tuple(unknown))


def compiled(pattern: str) -> re.Pattern[str]:
    """A name's pattern, with the groups `i`, `j` and `last` where it has a stage, a block and a last word."""
    text = re.escape(pattern)
    for word, group in ((STAGE, r"(?P<i>\d+)"), (BLOCK, r"(?P<j>\d+)"), (LAST, r"(?P<last>\w+)")):
        text = text.replace(re.escape(word), group)
    return re.compile(text)


def _first(rules: list[tuple[re.Pattern[str], str]], name: str) -> tuple[re.Match[str], str] | None:
    for pattern, text in rules:
        if (match := pattern.fullmatch(name)) is not None:
            return match, text
    return None


def _filled(ours: str, match: re.Match[str], first_stage: int) -> str:
    groups = match.groupdict()
    if "i" in groups:
        ours = ours.replace(STAGE, str(int(groups["i"]) - first_stage))
    return ours.replace(BLOCK, groups.get("j", "")).replace(LAST, groups.get("last", ""))


def _without_prefix(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name
