"""Confusion matrix and the scores drawn from it.

Knows label maps and counts; knows nothing of streams, domains or time. Use one `Confusion` per stretch to be scored,
`update` it with every labelled frame, and read `iou_K` and `miou` at the end as ratios in [0, 1], or nan.
"""

# H height, W width, K classes (rows: truth, columns: prediction)

from collections import deque

import numpy as np
import torch
from torch import Tensor

from runtime.state import State
from streams.frame import IGNORE_LABEL


class Confusion:
    """Counts of pixels by (true class, predicted class), int64; pixels whose label is 255 are not counted.

    Not thread-safe: one owner updates it. Counts add exactly, so stretches may be merged in any order or grouping.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= IGNORE_LABEL:
            raise ValueError(f"num_classes must be in [1, {IGNORE_LABEL}], got {num_classes}")
        self.num_classes = num_classes
        self.counts_KK = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, label_HW: np.ndarray, prediction_HW: np.ndarray) -> None:
        """Count one frame. See `count_pixels` for shapes, ranges and errors."""
        self.add(count_pixels(label_HW, prediction_HW, self.num_classes))

    def add(self, counts_KK: np.ndarray) -> None:
        """Add counts made elsewhere by `count_pixels`."""
        self.counts_KK += counts_KK

    def merge(self, other: "Confusion") -> "Confusion":
        """A new confusion over both stretches; neither operand changes."""
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge confusions of {self.num_classes} and {other.num_classes} classes")
        merged = Confusion(self.num_classes)
        merged.counts_KK = self.counts_KK + other.counts_KK
        return merged

    def state(self) -> State:
        """A copy of the counts."""
        return {"counts_KK": torch.from_numpy(self.counts_KK.copy())}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"counts_KK": Tensor() as counts_KK} if counts_KK.shape == self.counts_KK.shape:
                self.counts_KK = counts_KK.numpy().copy()
            case _:
                raise ValueError(f"not the state of a confusion of {self.num_classes} classes")

    @property
    def num_pixels(self) -> int:
        return int(self.counts_KK.sum())

    @property
    def iou_K(self) -> np.ndarray:
        """Intersection over union by class in [0, 1], float64; nan where a class is neither labelled nor predicted."""
        return iou_by_class(self.counts_KK)

    @property
    def miou(self) -> float:
        """Mean IoU in [0, 1] over the classes present in these counts (labelled or predicted); nan without pixels."""
        return mean_iou(self.counts_KK)


class SlidingConfusion:
    """Counts of the frames among the last `length` positions of a sequence; a position may have no counts at all.

    Counts are integers, so adding the newest frame and taking back the oldest never drifts. Holds one (K, K) matrix
    per frame in the window: 0.3 MB for 100 frames of 19 classes.
    """

    def __init__(self, num_classes: int, *, length: int) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1 frame, got {length}")
        self.length = length
        self.counts_KK = np.zeros((num_classes, num_classes), dtype=np.int64)
        self._frames: deque[tuple[int, np.ndarray]] = deque()

    def push(self, position: int, counts_KK: np.ndarray) -> None:
        """Add the frame at `position` (positions never decrease) and forget those at `position - length` or before."""
        self._frames.append((position, counts_KK))
        self.counts_KK += counts_KK
        while self._frames[0][0] <= position - self.length:
            self.counts_KK -= self._frames.popleft()[1]

    def state(self) -> State:
        """A copy of the frames in the window; the counts of one frame fit 32 bits."""
        num_classes = len(self.counts_KK)
        counts_NKK = np.zeros((len(self._frames), num_classes, num_classes), dtype=np.int32)
        for row, (_, counts_KK) in enumerate(self._frames):
            counts_NKK[row] = counts_KK
        positions_N = np.array([position for position, _ in self._frames], dtype=np.int64)
        return {"positions_N": torch.from_numpy(positions_N), "counts_NKK": torch.from_numpy(counts_NKK)}

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {"positions_N": Tensor() as positions_N, "counts_NKK": Tensor() as counts_NKK}:
                counts = counts_NKK.numpy().astype(np.int64)
                self._frames = deque(zip(positions_N.tolist(), counts, strict=True))
                self.counts_KK = counts.sum(axis=0)
            case _:
                raise ValueError(f"not the state of a sliding confusion: it has the keys {sorted(state)}")

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    @property
    def miou(self) -> float:
        """Mean IoU in [0, 1] over the classes present in the window; nan without pixels."""
        return mean_iou(self.counts_KK)


def count_pixels(label_HW: np.ndarray, prediction_HW: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) int64 counts of one frame, rows truth, columns prediction; label 255 is ignored.

    One `bincount` over `label * K + prediction` with 256 rows, of which the ones from K on are dropped: without a mask
    to select by it takes 0.2 ms for 256x512 on one core. Both arrays hold non-negative integers of the same shape.

    Raises:
        ValueError: shapes differ, or a class outside [0, K) occurs.
    """
    if label_HW.shape != prediction_HW.shape:
        raise ValueError(f"label {label_HW.shape} and prediction {prediction_HW.shape} must have the same shape")
    if prediction_HW.size and int(prediction_HW.max()) >= num_classes:
        raise ValueError(f"prediction holds class {int(prediction_HW.max())}, expected [0, {num_classes})")
    pair_HW = np.multiply(label_HW, num_classes, dtype=np.int64)
    pair_HW += prediction_HW
    counts = np.bincount(pair_HW.ravel(), minlength=(IGNORE_LABEL + 1) * num_classes)
    if counts[num_classes * num_classes : IGNORE_LABEL * num_classes].any():
        raise ValueError(f"label holds a class outside [0, {num_classes}) that is not {IGNORE_LABEL}; remap it on load")
    return counts[: num_classes * num_classes].reshape(num_classes, num_classes)


def iou_by_class(counts_KK: np.ndarray) -> np.ndarray:
    """(K,) float64 IoU in [0, 1]; nan where the union is empty."""
    hit_K = np.diagonal(counts_KK).astype(np.float64)
    union_K = counts_KK.sum(axis=0) + counts_KK.sum(axis=1) - hit_K
    iou_K = np.full(hit_K.shape, np.nan)
    np.divide(hit_K, union_K, out=iou_K, where=union_K > 0)
    return iou_K


def mean_iou(counts_KK: np.ndarray) -> float:
    """Mean of `iou_by_class` over present classes, in [0, 1]; nan when no class is present."""
    iou_K = iou_by_class(counts_KK)
    present_K = ~np.isnan(iou_K)
    return float(iou_K[present_K].mean()) if present_K.any() else float("nan")
