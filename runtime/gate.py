"""The input gate: frames that are shown but never learned from.

A camera that is covered, stuck, torn or sends static still delivers frames; they are predicted like any other, but
they say nothing about the weather. Everything is read from one sparse plane of the frame (every n-th byte of green,
about 128 rows) in cells of 8x8 samples, and from a memory of cell means of the last frames. Knows nothing of models.

Thresholds stand between what was measured on sound frames (all presets, snow, night rain, 30 m fog, CamVid by day and
at dusk, a road video; the worst of some 4500 frames in brackets) and what the fault gives:

- flat, black: deviation of the cell means below 1.5 [6.9, 200 mm/h at night], however noisy the sensor; black below a
  mean of 16, and always below 3 [16]. A moonless street with one lamp in sight has more structure and passes.
- noise: less than a tenth of the variance lies between cells [0.47, night]; white noise has 1/64, and grain of twice
  the sample spacing 1/16.
- duplicate: the same bytes. Frozen: mean difference of the sparse plane below 0.4 grey levels [1.5, a car that stands];
  two frames of a living sensor with a noise of half a grey level differ by 0.56. So a car at a red light is learned
  from as long as its sensor lives, and where nothing at all differs there is nothing new to learn.
- looped: every cell is within 1.5, and within a twentieth of the picture's deviation, of a frame before the last [8.9,
  but 0 where a recording starts over], and the last was four times as far from this one, which rules out a car that
  stands: the picture went away and came back, as with a decoder that repeats what it holds. Noise of a few grey levels
  on it does not hide it. A wiper that passes while car and street stand still can look like that for a frame.
- torn: three rows in ten, with something to see in them, have the bytes of the last frame [0].
- dead blocks: a twentieth of the cells below the middle are of one exact value [0.01], and stand out by 40 levels from
  what is around them, which crushed shadows do not. Bars that a recording carries at opposite edges do not count.
"""

# H rows, W columns, C channels; M rows and N columns of cells, K remembered frames

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runtime.state import State
from streams.frame import Frame

SPARSE_ROWS = 128
CELL = 8  # samples along a side
BLACK_LEVEL = 3.0  # mean grey level of 255
DARK_LEVEL = 16.0
FLAT_DEVIATION = 1.5
NOISE_SHARE = 0.1
FROZEN_DIFFERENCE = 0.4
REMEMBERED_FRAMES = 10  # a recording of a dozen pictures may well be meant to be played over and over
SAME_CELLS = 1.5
SAME_SHARE = 0.05
WENT_AWAY = 4.0
SAME_ROWS_SHARE = 0.3
DEAD_SHARE = 0.05
DEAD_CONTRAST = 40
WHITE_LEVEL = 250  # glare and overexposed snow are of one value too


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What is kept of a frame: one column in four, the sparse plane (whole cells of it), and the cells' means."""

    columns_HWC: np.ndarray
    sparse_HW: np.ndarray
    means_MN: np.ndarray


class InputGate:
    """One owner asks once per frame, in order; remembers the last frame and the cell means of REMEMBERED_FRAMES."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._last: Reading | None = None  # that showed something
        self._past: deque[np.ndarray] = deque(maxlen=REMEMBERED_FRAMES)  # of means_MN, the last frame's not among them

    def refusal(self, frame: Frame) -> str:
        """Why the frame must not be learned from, one of GATE_REASONS in `label_sets.py`; empty if it may."""
        if self._index is not None and frame.index <= self._index:
            return "out of order"  # and not remembered: the frames after it belong to the ones before
        self._index = frame.index
        seen = read(frame)
        reason = _unseeing(seen)
        if reason:
            return reason  # nor are these: a street that is seen again after a black frame has not come back in a loop
        last, past_KMN = self._last, list(self._past)
        self._remember(seen)
        if last is None or last.columns_HWC.shape != seen.columns_HWC.shape:
            return ""
        return _unmoving(seen, last) or _looped(seen, last, past_KMN)

    def state(self) -> State:
        """The last frame's number, the last pictures that showed something, and the memory, as copies."""
        if self._last is None:
            return {"index": self._index}
        return {
            "index": self._index,
            "columns": torch.from_numpy(self._last.columns_HWC.copy()),
            "sparse": torch.from_numpy(self._last.sparse_HW.copy()),
            "past": torch.from_numpy(np.stack([self._last.means_MN, *self._past])),
        }

    def load_state(self, state: State) -> None:
        """Goes on where `state` was taken; decides as that gate would have."""
        index = state["index"]
        self._index = index if isinstance(index, int) else None
        self._last = None
        self._past.clear()
        if "past" in state:
            columns_HWC, sparse_HW, past_KMN = (_array(state[name]) for name in ("columns", "sparse", "past"))
            self._last = Reading(columns_HWC, sparse_HW, past_KMN[0])
            self._past.extend(past_KMN[1:])

    def _remember(self, seen: Reading) -> None:
        if self._last is not None and self._last.means_MN.shape != seen.means_MN.shape:
            self._past.clear()
        elif self._last is not None:
            self._past.append(self._last.means_MN)
        self._last = seen


def read(frame: Frame) -> Reading:
    """The reading of a frame of at least 8x8 pixels."""
    step = max(1, frame.image_HWC.shape[0] // SPARSE_ROWS)
    sparse_HW = frame.image_HWC[::step, ::step, 1]
    height, width = (side // CELL * CELL for side in sparse_HW.shape)
    sparse_HW = np.ascontiguousarray(sparse_HW[:height, :width])
    means_MN = _by_cell(np.add, sparse_HW.astype(np.float32)) / np.float32(CELL * CELL)
    return Reading(np.ascontiguousarray(frame.image_HWC[:, ::4]), sparse_HW, means_MN)


def _by_cell(combine: np.ufunc, plane_HW: np.ndarray) -> np.ndarray:
    """The samples of each cell combined, (M, N); rows first, which is what the processor's vectors are made for."""
    height, width = plane_HW.shape
    combined_MW = combine.reduce(plane_HW.reshape(height // CELL, CELL, width), axis=1)
    columns_NM = combine.reduce(np.ascontiguousarray(combined_MW.T).reshape(width // CELL, CELL, -1), axis=1)
    result: np.ndarray = columns_NM.T
    return result


def _unseeing(seen: Reading) -> str:
    """Black, flat, noise or dead blocks: what one frame tells."""
    mean, deviation = float(seen.means_MN.mean()), float(seen.means_MN.std())
    if mean < BLACK_LEVEL or (mean < DARK_LEVEL and deviation < FLAT_DEVIATION):
        return "black"
    if deviation < FLAT_DEVIATION:
        return "flat"
    if deviation**2 < NOISE_SHARE * float(seen.sparse_HW.astype(np.float32).var()):
        return "noise"
    return "dead blocks" if _has_dead_blocks(seen) else ""


def _has_dead_blocks(seen: Reading) -> bool:
    most_MN, least_MN = _by_cell(np.maximum, seen.sparse_HW), _by_cell(np.minimum, seen.sparse_HW)
    flat_MN = (most_MN == least_MN) & (most_MN < WHITE_LEVEL)
    if np.count_nonzero(flat_MN) < DEAD_SHARE * flat_MN.size / 2:
        return False
    inner = _within_bars(flat_MN)
    dead_MN = np.array(flat_MN[inner])
    dead_MN[: dead_MN.shape[0] // 2] = False  # a sky may be of one value, and houses stand out from it
    if not dead_MN.any() or np.count_nonzero(dead_MN) < DEAD_SHARE * dead_MN.size / 2:
        return False
    return _contrast(dead_MN, most_MN[inner].astype(np.int16), least_MN[inner].astype(np.int16)) >= DEAD_CONTRAST


def _within_bars(flat_MN: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns without the bars that lie at opposite edges alike."""
    bounds = []
    for axis, size in enumerate(flat_MN.shape):
        live = np.flatnonzero(~flat_MN.all(axis=1 - axis))
        margin = min(int(live[0]), size - 1 - int(live[-1])) if live.size else 0
        bounds.append(slice(margin, size - margin))
    return bounds[0], bounds[1]


def _contrast(dead_MN: np.ndarray, most_MN: np.ndarray, least_MN: np.ndarray) -> float:
    """Median over dead cells beside a live one of how far the live one reaches from the dead one's value."""
    reaches = []
    for rows, columns in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        here, there = _shifted(dead_MN.shape, rows, columns)
        value = most_MN[here]
        reach = np.maximum(np.abs(most_MN[there] - value), np.abs(least_MN[there] - value))
        reaches.append(reach[dead_MN[here] & ~dead_MN[there]])
    found = np.concatenate(reaches)
    return float(np.median(found)) if found.size else 0.0


def _shifted(shape_MN: tuple[int, ...], rows: int, columns: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index of all cells that have a neighbour so many rows and columns on, and index of these neighbours."""
    here, there = [], []
    for size, step in zip(shape_MN, (rows, columns), strict=True):
        here.append(slice(max(0, -step), size - max(0, step)))
        there.append(slice(max(0, step), size - max(0, -step)))
    return (here[0], here[1]), (there[0], there[1])


def _unmoving(seen: Reading, last: Reading) -> str:
    """Duplicate, torn or frozen: what the frame before tells."""
    same_H: np.ndarray = (seen.columns_HWC == last.columns_HWC).all(axis=(1, 2))
    if same_H.all():
        return "duplicate"
    # A cloudless sky may repeat byte for byte; only rows that show something count as stuck.
    stuck_HWC = seen.columns_HWC[same_H]
    num_stuck = int((stuck_HWC.max(axis=1) - stuck_HWC.min(axis=1) > FLAT_DEVIATION).any(axis=1).sum())
    if num_stuck >= SAME_ROWS_SHARE * seen.columns_HWC.shape[0]:
        return "torn"
    difference = np.abs(seen.sparse_HW.astype(np.int16) - last.sparse_HW).mean(dtype=np.float32)
    return "frozen" if float(difference) < FROZEN_DIFFERENCE else ""


def _looped(seen: Reading, last: Reading, past_KMN: list[np.ndarray]) -> str:
    """Looped: what the memory tells."""
    if not past_KMN:
        return ""
    nearest = float(np.abs(np.stack(past_KMN) - seen.means_MN).max(axis=(1, 2)).min())
    gone = float(np.abs(last.means_MN - seen.means_MN).max())
    same = min(SAME_CELLS, SAME_SHARE * float(seen.means_MN.std()))
    return "looped" if nearest < same and gone > WENT_AWAY * max(nearest, 0.5) else ""


def _array(value: object) -> np.ndarray:
    if not isinstance(value, Tensor):
        raise ValueError(f"the state of an input gate holds tensors, got {type(value).__name__}")
    return value.numpy().copy()
