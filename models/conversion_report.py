"""What a conversion found: mapped, rearranged, missing, left over, of another shape, drawn at random; for people."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.rearrangement import Rearrangement

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A tensor of another shape than our network's."""

    name: str
    shape: tuple[int, ...]
    expected: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} is {_shape(self.shape)}, expected {_shape(self.expected)}"


@dataclass(frozen=True, slots=True)
class Report:
    """`mapped`: their name and ours. `idle`: their name and why it is left behind. `missing`: names of ours;
    `unexpected`: of theirs. `drawn`: names of ours that the file does not give and that are random instead.
    """

    path: Path
    layout: str
    network: str
    networks: tuple[str, ...]
    model: str
    num_classes: int | None
    is_encoder: bool
    mapped: tuple[tuple[str, str], ...]
    idle: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    rearranged: Rearrangement
    drawn: tuple[str, ...]

    def fault(self) -> str | None:
        """Why this is no complete network, in one line; None where it is one."""
        faults = [
            f"{len(names)} {what} (first {names[0]})"
            for names, what in (
                (self.missing, "tensors are missing"),
                (self.unexpected, "tensors are unexpected"),
                (self.mismatched, "tensors are of another shape"),
            )
            if names
        ]
        return f"not a complete {self.model} in the layout of {self.layout}: " + ", ".join(faults) if faults else None

    def lines(self) -> list[str]:
        """For the terminal, a few names of each kind."""
        classes = "an encoder, no head" if self.num_classes is None else f"{self.num_classes} classes"
        lines = [f"{self.path}: {self.layout}, {self.model}, {classes}"]
        if len(self.networks) > 1:
            others = ", ".join(name for name in self.networks if name != self.network)
            lines.append(f"  network    {self.network}; the file also holds {others} (--network takes another)")
        lines.append(f"  mapped     {len(self.mapped)} tensors")
        lines += [
            f"  {field.name:<10} {_listed(getattr(self.rearranged, field.name))}"
            for field in dataclasses.fields(Rearrangement)
            if getattr(self.rearranged, field.name)
        ]
        lines += [f"  left       {name}: {reason}" for name, reason in self.idle[:SHOWN]]
        for title, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("mismatched", [str(mismatch) for mismatch in self.mismatched]),
            ("RANDOM", self.drawn),
        ):
            if names:
                lines.append(f"  {title:<10} {_listed(names)}")
        return lines


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)}: {', '.join(names[:SHOWN])}{more}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape) or "a scalar"
