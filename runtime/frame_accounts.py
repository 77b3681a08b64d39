"""Where captured frames went: predicted, dropped by reason, or in flight, always consistent.

In flight is counted by index, on its own: where captured = predicted + dropped + in flight fails, an event is missing
or came twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """The four numbers of one instant."""

    captured: int
    predicted: int
    dropped: Mapping[str, int]
    in_flight: int


class FrameAccounts:
    """Written by one thread; `counts` may be read by any."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self._num_captured = 0
        self._num_predicted = 0
        self._dropped = Counter(dict.fromkeys(reasons, 0))
        self._in_flight: set[int] = set()
        self._publish()

    def captured(self, index: int) -> None:
        self._num_captured += 1
        self._in_flight.add(index)
        self._publish()

    def predicted(self, index: int) -> None:
        self._num_predicted += 1
        self._in_flight.discard(index)
        self._publish()

    def dropped(self, index: int, reason: str) -> None:
        self._dropped[reason] += 1
        self._in_flight.discard(index)
        self._publish()

    def _publish(self) -> None:
        # One assignment: a reader on another thread sees all four numbers of the same instant.
        self.counts = FrameCounts(self._num_captured, self._num_predicted, dict(self._dropped), len(self._in_flight))
