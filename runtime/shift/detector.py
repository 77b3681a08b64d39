"""Detector: one float per frame in, whether the stream changed out, in constant time and memory.

The float is a calibrated reading of a signal: how far the frame lies from the source, with sign where a signal can
leave it in two directions. At +-1 lies the edge of the source, a quantile of readings of source samples; `typical`, the
median of those readings, is where a detector begins, so that no stream has to warm it up.
"""

from typing import Protocol

from runtime.state import State

EDGE = 1.0
RETURN_SHARE = 0.9  # of the edge: hysteresis, so that a reading at the edge does not flicker


class Detector(Protocol):
    """One owner calls `update` once per frame, in order."""

    @property
    def is_shifted(self) -> bool:
        """Whether the stream has left the source, as far as the detector knows."""
        ...

    def update(self, value: float) -> str | None:
        """What this frame confirms: "away", "change" or "return" as in `ShiftEvent`; None for most frames."""
        ...

    def state(self) -> State: ...

    def load_state(self, state: State) -> None: ...


class Side:
    """Which side of the source's edge the stream is on, for detectors that find changes and ask where they led."""

    def __init__(self) -> None:
        self.is_shifted = False

    def moved_to(self, level: float) -> str | None:
        """What a change to `level` means; None where it stays within the source, which is no reason to learn."""
        if self.is_shifted:
            self.is_shifted = abs(level) >= RETURN_SHARE * EDGE
            return "change" if self.is_shifted else "return"
        self.is_shifted = abs(level) > EDGE
        return "away" if self.is_shifted else None


def room_within(typical: float) -> float:
    """The way from the source's usual reading to its edge, the unit of every limit; ValueError where there is none."""
    if not 0 <= typical < EDGE:
        raise ValueError(f"typical must lie in [0, {EDGE:g}), within the edge of the source, got {typical}")
    return EDGE - typical
