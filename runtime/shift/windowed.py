"""Windows: means over stretches of frames against an anchor; a mean that departs from it is a change of domain.

The detector of HAMLET (Colomer et al., ICCV 2023, section 3.3 and its released code): windows do not overlap, the
anchor stays while nothing happens (so slow drift adds up and is found), and the window after a change becomes the next
anchor. `WindowRule` is that arithmetic; `published_rule` has its constants and its quirks. `Windowed` is what serves
here: the same rule from a calibrated anchor, with windows short enough for a stream that changes every few seconds.
"""

from dataclasses import dataclass

from runtime.shift.detector import Side, room_within
from runtime.state import State

PUBLISHED_WINDOW = 75  # frames; 200 for SHIFT
PUBLISHED_LIMIT = 0.23  # nats of the light decoder's cross-entropy


@dataclass(frozen=True, slots=True)
class WindowJump:
    """A window's mean `level` that departed from the `anchor` by more than the limit."""

    anchor: float
    level: float

    @property
    def is_up(self) -> bool:
        return self.level > self.anchor


class WindowRule:
    """Anchor and window; `anchor` None lets the first window set it.

    `keeps_anchor_window`: the frames that set an anchor are part of the next window too, which then has one frame more
    and is judged at once, as in the released code.
    """

    def __init__(
        self, *, window: int, limit: float, anchor: float | None = None, keeps_anchor_window: bool = False
    ) -> None:
        if window < 1 or limit <= 0:
            raise ValueError(f"window must be at least 1 frame and limit above 0, got {window} and {limit}")
        self._window = window
        self._limit = limit
        self._keeps_anchor_window = keeps_anchor_window
        self._anchor = anchor
        self._sum = 0.0
        self._num = 0

    def update(self, value: float) -> WindowJump | None:
        """The departure this frame's window ends with, if it does."""
        self._sum += value
        self._num += 1
        if self._num < self._window:
            return None
        level = self._sum / self._num
        if self._anchor is None:
            self._anchor = level
            if not self._keeps_anchor_window:
                self._sum, self._num = 0.0, 0
            return None
        self._sum, self._num = 0.0, 0
        if abs(level - self._anchor) <= self._limit:
            return None
        jump = WindowJump(self._anchor, level)
        self._anchor = None
        return jump

    def state(self) -> State:
        """Anchor and the window so far."""
        return {"anchor": self._anchor, "sum": self._sum, "num": self._num}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"anchor": float() | None as anchor, "sum": float(total), "num": int(num)}:
                self._anchor, self._sum, self._num = anchor, total, num
            case _:
                raise ValueError(f"not the state of a window rule: it has the keys {sorted(state)}")


def published_rule(*, window: int = PUBLISHED_WINDOW, limit: float = PUBLISHED_LIMIT) -> WindowRule:
    """HAMLET's rule as released: on raw values, with its constants, first anchor included."""
    return WindowRule(window=window, limit=limit, keeps_anchor_window=True)


class Windowed:
    """`limit_share` is in units of the way from the usual reading to the edge."""

    def __init__(self, typical: float, *, window: int = 15, limit_share: float = 1.0) -> None:
        self._rule = WindowRule(window=window, limit=limit_share * room_within(typical), anchor=typical)
        self._side = Side()

    @property
    def is_shifted(self) -> bool:
        return self._side.is_shifted

    def update(self, value: float) -> str | None:
        jump = self._rule.update(value)
        if jump is None:
            return None
        return self._side.moved_to(jump.level)

    def state(self) -> State:
        return {"rule": self._rule.state(), "is_shifted": self._side.is_shifted}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"rule": dict(rule), "is_shifted": bool(is_shifted)}:
                self._rule.load_state({str(key): value for key, value in rule.items()})
                self._side.is_shifted = is_shifted
            case _:
                raise ValueError(f"not the state of a windowed detector: it has the keys {sorted(state)}")
