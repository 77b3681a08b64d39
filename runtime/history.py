"""The course of a run in bounded memory: what the page draws over time.

A point is taken every few frames; when the store is full every second point goes and the spacing doubles, so that the
whole run, however long, is always there with at least half the room used.
"""

from dataclasses import dataclass

MAX_POINTS = 360
FIRST_SPACING = 5


@dataclass(frozen=True, slots=True)
class Point:
    """Readings at one frame; IoU as ratios over the recent window, nan without labels or shadow predictions."""

    frame: int
    miou: float
    miou_frozen: float
    shift_score: float
    latency_p50_ms: float
    latency_p99_ms: float
    version: int
    num_steps: int
    confidence: float
    agreement: float


class History:
    """Keeps at most `max_points`, evenly spaced by number of predictions. Not thread-safe."""

    def __init__(self, *, max_points: int = MAX_POINTS, spacing: int = FIRST_SPACING) -> None:
        if max_points < 2 or spacing < 1:
            raise ValueError(f"history needs max_points >= 2 and spacing >= 1, got {max_points} and {spacing}")
        self._max_points = max_points
        self._spacing = spacing
        self._points: list[Point] = []

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(self._points)

    def is_due(self, num_predictions: int) -> bool:
        """Whether the prediction that made it `num_predictions` gets a point."""
        return num_predictions % self._spacing == 0

    def add(self, point: Point) -> None:
        """Append a point; ask `is_due` first."""
        self._points.append(point)
        if len(self._points) >= self._max_points:
            # Keep the odd positions: their prediction counts are the multiples of the doubled spacing.
            self._points = self._points[1::2]
            self._spacing *= 2
