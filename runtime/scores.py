"""What a run with labels scores, as records: the words in which observers hear of quality.

Observers live below the package that compares predictions with labels, so they are handed a callable that returns the
newest `Scores` (None while there is nothing to score). All IoU values are ratios in [0, 1], and nan where unknown (no
shadow prediction, class absent); run folder, page and terminal show them in points, 0 to 100.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VisitScore:
    """One stay in one domain; `visit` counts all stays of the run from 0, IoU is over this stay alone.

    Of its `frames` the frozen model answered `compared`; where those are any, both IoU are over them.
    """

    name: str
    visit: int
    first_frame: int
    frames: int
    compared: int
    miou: float
    miou_frozen: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything known so far. `recent_*` cover the last frames only; `class_iou` is in the order of `classes`.

    `worst_drop` is the largest miou_frozen - miou over visits, `negative_window_share` the share of windows in which
    the adapted model was meaningfully below the frozen one, `recovery_frames` how many frames each
    visit after the first took to recover (None: it did not). Of more than 256 visits `visits` and
    `recovery_frames` hold the newest 256; all other figures are over every visit there was.
    """

    classes: tuple[str, ...]
    miou: float
    miou_frozen: float
    recent_miou: float
    recent_miou_frozen: float
    visits: tuple[VisitScore, ...]
    hmean: float
    hmean_frozen: float
    worst_drop: float
    negative_window_share: float
    recovery_frames: tuple[int | None, ...]
    class_iou: tuple[float, ...]
    class_iou_frozen: tuple[float, ...]


POINTS = 100.0  # points in the ratio 1

ScoresSource = Callable[[], Scores | None]


def no_scores() -> Scores | None:
    """The source of a run without labels."""
    return None
