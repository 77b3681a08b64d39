"""The detectors there are, by name, in one dict; each is built for the usual reading of the source by a signal.

`jumps` stands apart: it looks at the appearance itself (`runtime/shift/jumps.py`) and hears no signal but `style`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.shift.cusum import Cusum
from runtime.shift.detector import Detector
from runtime.shift.hysteresis import Hysteresis
from runtime.shift.page_hinkley import PageHinkley
from runtime.shift.two_ema import TwoEma
from runtime.shift.windowed import Windowed

JUMPS = "jumps"
JUMPS_SIGNAL = "style"


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """What it does, in a line, and the function that builds it for a signal whose usual reading is given."""

    summary: str
    build: Callable[[float], Detector]


DETECTORS: dict[str, DetectorEntry] = {
    "hysteresis": DetectorEntry("away above one bar, back below a lower one", lambda _: Hysteresis()),
    "windowed": DetectorEntry("means of stretches of frames against an anchor, as HAMLET", Windowed),
    "page_hinkley": DetectorEntry("sum of what exceeds the running mean", PageHinkley),
    "cusum": DetectorEntry("sum of what exceeds a reference", Cusum),
    "two_ema": DetectorEntry("a fast average that parts from a slow one", TwoEma),
}
DETECTOR_NAMES = (JUMPS, *DETECTORS)
