"""What is kept of one visit (a stay in one domain) while it is scored: counts, pairs with the frozen model, recovery.

Knows counts and positions, not events or locks; `evaluation/online.py` owns the tallies and feeds them.
"""

# K classes

from array import array

import numpy as np

from evaluation.confusion import Confusion, SlidingConfusion
from runtime.scores import VisitScore

RECOVERY_FRAMES = 10  # one second at the default rate; the shortest stretch whose mIoU is not ruled by a single frame
RECOVERED_SHARE = 0.95


class VisitTally:
    """Counts of one visit: every scored frame of the adapted model, and the frames the frozen model shadowed."""

    def __init__(self, name: str, *, visit: int, first_frame: int, num_classes: int) -> None:
        self.name = name
        self.visit = visit
        self.first_frame = first_frame
        self.num_frames = 0
        self.served = Confusion(num_classes)
        self.pair = ConfusionPair(num_classes)
        self.recovery = Recovery(num_classes)

    def add_served(self, counts_KK: np.ndarray) -> None:
        self.num_frames += 1
        self.served.add(counts_KK)
        self.recovery.update(counts_KK)

    def score(self) -> VisitScore | None:
        """The visit's score, on shadowed frames alone where there are any; None while no labelled pixel was seen."""
        if self.served.num_pixels == 0:
            return None
        return VisitScore(
            name=self.name,
            visit=self.visit,
            first_frame=self.first_frame,
            frames=self.num_frames,
            miou=self.pair.served.miou if self.pair.num_frames else self.served.miou,
            miou_frozen=self.pair.frozen.miou,
        )


class ConfusionPair:
    """Counts of the adapted and of the frozen model over exactly the same frames."""

    def __init__(self, num_classes: int) -> None:
        self.served = Confusion(num_classes)
        self.frozen = Confusion(num_classes)
        self.num_frames = 0

    def add(self, served_KK: np.ndarray, frozen_KK: np.ndarray) -> None:
        self.served.add(served_KK)
        self.frozen.add(frozen_KK)
        self.num_frames += 1


class Recovery:
    """How long a visit takes to reach its own plateau.

    With m(i) the mIoU over frames i .. i+9 of the visit, the plateau is the mean of m over the windows that lie in the
    visit's second half, and the recovery time is the smallest i with m(i) >= 0.95 * plateau: 0 where the visit began
    at its plateau. Both sides use windows of one length, because mIoU over more frames meets more (rare) classes.
    """

    def __init__(self, num_classes: int) -> None:
        self._sliding = SlidingConfusion(num_classes, length=RECOVERY_FRAMES)
        self._num_frames = 0
        self._window_mious = array("d")

    def update(self, counts_KK: np.ndarray) -> None:
        self._sliding.push(self._num_frames, counts_KK)
        self._num_frames += 1
        if self._num_frames >= RECOVERY_FRAMES:
            self._window_mious.append(self._sliding.miou)

    def frames(self) -> int | None:
        """Frames until recovered; None while the visit has no whole window in its second half (20 frames needed)."""
        mious = np.array(self._window_mious)
        settled = mious[(self._num_frames + 1) // 2 :]
        settled = settled[~np.isnan(settled)]
        if settled.size == 0:
            return None
        return int(np.argmax(mious >= RECOVERED_SHARE * settled.mean()))
