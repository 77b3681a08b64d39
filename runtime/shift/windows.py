"""Windows: when the mean distance of a stretch of frames says that the domain has changed.

The rule of HAMLET, Colomer et al., ICCV 2023, arXiv 2307.15063, section 3.3, and of its released code.

    change = windows.update(distance)           # once a frame; None for nearly all

Windows follow each other without overlap, their mean the only smoothing. The anchor stays while means stay near it, so
a slow drift adds up until it is a change too. After a change the next whole window is the new anchor: the one that
found it holds frames from both sides.
"""

from dataclasses import dataclass
from statistics import fmean

from runtime.state import State


@dataclass(frozen=True, slots=True)
class DomainChange:
    """The window mean `level` was further than the limit from the `anchor`."""

    anchor: float
    level: float

    @property
    def is_outward(self) -> bool:
        """Whether the stream moves away from the source."""
        return self.level > self.anchor


class DomainWindows:
    """One owner. `anchor` None lets the first window be it.

    `keeps_anchor_frames`: the window that became an anchor is not forgotten, so that one more frame completes the next
    one, as in the released code.
    """

    def __init__(
        self, *, length: int, limit: float, anchor: float | None = None, keeps_anchor_frames: bool = False
    ) -> None:
        if length < 1 or not limit > 0:
            raise ValueError(f"windows need a length of at least 1 and a limit above 0, got {length} and {limit}")
        self._length = length
        self._limit = limit
        self._keeps_anchor_frames = keeps_anchor_frames
        self._anchor = anchor
        self._distances: list[float] = []

    def update(self, distance: float) -> DomainChange | None:
        """The change that this frame's distance completes, if any."""
        self._distances.append(distance)
        if len(self._distances) < self._length:
            return None
        level, anchor = fmean(self._distances), self._anchor
        if anchor is None:
            self._anchor = level
            if not self._keeps_anchor_frames:
                self._distances.clear()
            return None
        self._distances.clear()
        if abs(level - anchor) <= self._limit:
            return None
        self._anchor = None
        return DomainChange(anchor, level)

    def state(self) -> State:
        """The anchor, and the window so far."""
        return {"anchor": self._anchor, "distances": list(self._distances)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"anchor": float() | None as anchor, "distances": list(distances)}:
                self._anchor, self._distances = anchor, [float(distance) for distance in distances]
            case _:
                raise ValueError(f"not the state of windows: it has the keys {sorted(state)}")
