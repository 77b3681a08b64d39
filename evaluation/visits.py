"""What is kept of one visit (a stay in one domain) while it is scored: counts, pairs with the frozen model, recovery.

Knows counts and positions, not events or locks; `evaluation/visit_log.py` owns the tallies, `evaluation/online.py`
feeds them. A tally is of one size, however long the visit.
"""

# K classes

from array import array
from typing import cast

import numpy as np
import torch
from torch import Tensor

from evaluation.confusion import Confusion, SlidingConfusion
from runtime.scores import VisitScore
from runtime.state import State

RECOVERY_FRAMES = 10  # one second at the default rate; the shortest stretch whose mIoU is not ruled by a single frame
RECOVERED_SHARE = 0.95
RECOVERY_HORIZON = 4096  # frames of a visit that count for its recovery: seven minutes at the default rate


class VisitTally:
    """Counts of one visit: every scored frame of the adapted model, and the frames the frozen model shadowed.

    `last_prediction` is the number of the visit's newest prediction, counted over the whole run.
    """

    def __init__(self, name: str, *, visit: int, first_frame: int, num_classes: int) -> None:
        self.name = name
        self.visit = visit
        self.first_frame = first_frame
        self.last_prediction = 0
        self.num_frames = 0
        self.served = Confusion(num_classes)
        self.pair = ConfusionPair(num_classes)
        self.recovery = Recovery(num_classes)

    def add_served(self, counts_KK: np.ndarray) -> None:
        self.num_frames += 1
        self.served.add(counts_KK)
        self.recovery.update(counts_KK)

    def add_shadowed(self, served_KK: np.ndarray, frozen_KK: np.ndarray) -> None:
        """A frame that the frozen model answered too."""
        self.pair.add(served_KK, frozen_KK)
        self.recovery.update_frozen(frozen_KK)

    def score(self) -> VisitScore | None:
        """The visit's score, on shadowed frames alone where there are any; None while no labelled pixel was seen."""
        if self.served.num_pixels == 0:
            return None
        return VisitScore(
            name=self.name,
            visit=self.visit,
            first_frame=self.first_frame,
            frames=self.num_frames,
            compared=self.recovery.num_compared,
            miou=self.pair.served.miou if self.pair.served.num_pixels else self.served.miou,
            miou_frozen=self.pair.frozen.miou,
        )

    def state(self) -> State:
        """A copy."""
        return {
            "name": self.name,
            "visit": self.visit,
            "first_frame": self.first_frame,
            "last_prediction": self.last_prediction,
            "num_frames": self.num_frames,
            "served": self.served.state(),
            "pair": self.pair.state(),
            "recovery": self.recovery.state(),
        }

    @classmethod
    def of_state(cls, state: State, *, num_classes: int) -> "VisitTally":
        """The tally that gave `state`."""
        match state:
            case {"name": str(name), "visit": int(visit), "first_frame": int(first_frame)}:
                tally = cls(name, visit=visit, first_frame=first_frame, num_classes=num_classes)
            case _:
                raise ValueError(f"not the state of a visit: it has the keys {sorted(state)}")
        tally.last_prediction = cast(int, state["last_prediction"])
        tally.num_frames = cast(int, state["num_frames"])
        tally.served.load_state(cast(State, state["served"]))
        tally.pair.load_state(cast(State, state["pair"]))
        tally.recovery.load_state(cast(State, state["recovery"]))
        return tally


class ConfusionPair:
    """Counts of the adapted and of the frozen model over exactly the same frames."""

    def __init__(self, num_classes: int) -> None:
        self.served = Confusion(num_classes)
        self.frozen = Confusion(num_classes)

    def add(self, served_KK: np.ndarray, frozen_KK: np.ndarray) -> None:
        self.served.add(served_KK)
        self.frozen.add(frozen_KK)

    def state(self) -> State:
        """A copy."""
        return {"served": self.served.state(), "frozen": self.frozen.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        self.served.load_state(cast(State, state["served"]))
        self.frozen.load_state(cast(State, state["frozen"]))


class Recovery:
    """How long a visit takes to reach its own plateau.

    With m(i) the mIoU over frames i .. i+9 of the visit, the plateau is the mean of m over the windows that lie in the
    visit's second half, and the recovery time is the smallest i with m(i) >= 0.95 * plateau: 0 where the visit began
    at its plateau. Both sides use windows of one length, because mIoU over more frames meets more (rare) classes.
    Scenery moves m too, by more than those 5 %, and the frozen model's f(i) likewise: where the frozen model answered
    every frame, m(i) counts less what f(i) is above its mean over the second half, so the frozen model itself has a
    recovery time of 0. A visit longer than RECOVERY_HORIZON frames is judged by its first ones.
    """

    def __init__(self, num_classes: int) -> None:
        self._served = _Windows(num_classes)
        self._frozen = _Windows(num_classes)

    def update(self, counts_KK: np.ndarray) -> None:
        """One more frame of the visit, as served."""
        self._served.push(counts_KK)

    def update_frozen(self, counts_KK: np.ndarray) -> None:
        """A frame of the visit as the frozen model answered it; of frames in order, as many as it answered."""
        self._frozen.push(counts_KK)

    @property
    def num_compared(self) -> int:
        """Frames the frozen model answered."""
        return self._frozen.num_frames

    def frames(self) -> int | None:
        """Frames until recovered; None while the visit has no whole window in its second half (20 frames needed)."""
        mious, num_frames = self._served.mious(), min(self._served.num_frames, RECOVERY_HORIZON)
        second_half = slice((num_frames + 1) // 2, None)
        if self._frozen.num_frames == self._served.num_frames:
            frozen = self._frozen.mious()
            if not np.isnan(frozen[second_half]).all():
                mious = mious - (frozen - np.nanmean(frozen[second_half]))
        settled = mious[second_half]
        settled = settled[~np.isnan(settled)]
        if settled.size == 0:
            return None
        return int(np.argmax(mious >= RECOVERED_SHARE * settled.mean()))

    def state(self) -> State:
        """A copy."""
        return {"served": self._served.state(), "frozen": self._frozen.state()}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"served": dict(served), "frozen": dict(frozen)}:
                self._served.load_state(served)
                self._frozen.load_state(frozen)
            case _:
                raise ValueError(f"not the state of a recovery: it has the keys {sorted(state)}")


class _Windows:
    """mIoU over every RECOVERY_FRAMES frames in a row, of the first RECOVERY_HORIZON frames."""

    def __init__(self, num_classes: int) -> None:
        self._sliding = SlidingConfusion(num_classes, length=RECOVERY_FRAMES)
        self.num_frames = 0
        self._mious = array("d")

    def push(self, counts_KK: np.ndarray) -> None:
        self.num_frames += 1
        if self.num_frames > RECOVERY_HORIZON:
            return
        self._sliding.push(self.num_frames, counts_KK)
        if self.num_frames >= RECOVERY_FRAMES:
            self._mious.append(self._sliding.miou)

    def mious(self) -> np.ndarray:
        return np.array(self._mious)

    def state(self) -> State:
        mious = torch.from_numpy(self.mious())
        return {"num_frames": self.num_frames, "mious": mious, "sliding": self._sliding.state()}

    def load_state(self, state: State) -> None:
        match state:
            case {"num_frames": int(num_frames), "mious": Tensor() as mious, "sliding": dict(sliding)}:
                self.num_frames = num_frames
                self._mious = array("d", mious.tolist())
                self._sliding.load_state(sliding)
            case _:
                raise ValueError(f"not the state of windows: it has the keys {sorted(state)}")
