"""Windowed: means over stretches of frames against an anchor; a mean that departs from it is a change.

HAMLET's rule (`windows.py`; Colomer et al., ICCV 2023, section 3.3) as a detector of any signal: the first anchor is
the source's usual reading and not the first window, and windows are short enough for a stream that changes every few
seconds. The published lengths and limits belong to the light decoder's distance and are the method's
(`runtime/adaptation/hamlet_pace.py`).
"""

from runtime.shift.detector import Side, room_within
from runtime.shift.windows import DomainWindows
from runtime.state import State


class Windowed:
    """`limit_share` is in units of the way from the usual reading to the edge."""

    def __init__(self, typical: float, *, window: int = 15, limit_share: float = 1.0) -> None:
        self._windows = DomainWindows(length=window, limit=limit_share * room_within(typical), anchor=typical)
        self._side = Side()

    @property
    def is_shifted(self) -> bool:
        return self._side.is_shifted

    def update(self, value: float) -> str | None:
        change = self._windows.update(value)
        if change is None:
            return None
        return self._side.moved_to(change.level)

    def state(self) -> State:
        """The window so far, and the side of the edge."""
        return {"windows": self._windows.state(), "is_shifted": self._side.is_shifted}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"windows": dict(windows), "is_shifted": bool(is_shifted)}:
                self._windows.load_state(windows)
                self._side.is_shifted = is_shifted
            case _:
                raise ValueError(f"not the state of a windowed detector: it has the keys {sorted(state)}")
