"""Style: how far the stream looks from the source, by the whitened distance of its smoothed appearance."""

from runtime.shift.calibration import SourceAppearance
from runtime.shift.sight import Sight


class StyleDistance:
    """Never negative; needs no predictions."""

    def __init__(self, source: SourceAppearance) -> None:
        self._source = source

    @property
    def typical(self) -> float:
        return self._source.typical

    def read(self, sight: Sight) -> float:
        return self._source.distance(sight.smoothed_F) / self._source.threshold
