"""Counts of a whole run in slices of a few frames, adapted and frozen: what intervals and comparisons are made from.

A slice is the sum over consecutive frames that both models answered, all of one visit and one round of the stream. From
slices every score of the run can be taken again, also over a resampled run (`evaluation/bootstrap.py`).

    log.add(SliceKey("rain_25mm", visit=1, round=0), 75, served_KK, frozen_KK)
    write_slices(run_dir / SLICES_NAME, log.slices())

Memory is bounded: once there are MAX_SLICES, neighbours are joined and slices grow longer; where that frees too little,
because there are that many visits, the oldest are forgotten.
"""

# N slices, K classes (rows: truth, columns: prediction)

import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.tensorfile import write_atomically
from runtime.state import State

SLICES_NAME = "slices.npz"
SLICE_FRAMES = 5  # half a second at the default rate: fifteen to a visit of the presets
MAX_SLICES = 1024  # 6 MB of 19 classes; 5,000 frames before the first are joined


@dataclass(frozen=True, slots=True)
class SliceKey:
    """Where a frame belongs: no slice spans two visits or two rounds. `visit` counts all stays of the run from 0."""

    domain: str
    visit: int
    round: int


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """N slices in order. Counts are int64 of shape (N, K, K); `first_frame_N` are indices of the stream."""

    domain_N: np.ndarray
    visit_N: np.ndarray
    round_N: np.ndarray
    first_frame_N: np.ndarray
    num_frames_N: np.ndarray
    served_NKK: np.ndarray
    frozen_NKK: np.ndarray

    def __len__(self) -> int:
        return len(self.visit_N)

    @property
    def visits(self) -> list[int]:
        """Numbers of the visits there are, in order."""
        return list(dict.fromkeys(self.visit_N.tolist()))


class SliceLog:
    """One owner adds every compared frame, in order.

    Its memory is taken at once: filled over minutes it looked like a leak.
    """

    def __init__(self, num_classes: int, *, max_slices: int = MAX_SLICES) -> None:
        self._max_slices = max_slices
        self._slice_frames = SLICE_FRAMES
        self._rows: list[_Row] = []
        self._served_NKK, self._frozen_NKK = (
            np.full((max_slices, num_classes, num_classes), 0, np.int64) for _ in range(2)
        )

    def add(self, key: SliceKey, frame_index: int, served_KK: np.ndarray, frozen_KK: np.ndarray) -> None:
        """Count one frame; it opens a slice where the last one is full or of another key."""
        if not (self._rows and self._rows[-1].takes(key, 1, self._slice_frames)):
            if len(self._rows) == self._max_slices:
                self._make_room()
            self._served_NKK[len(self._rows)] = self._frozen_NKK[len(self._rows)] = 0
            self._rows.append(_Row(key, frame_index, 0))
        last = len(self._rows) - 1
        self._rows[last].num_frames += 1
        self._served_NKK[last] += served_KK
        self._frozen_NKK[last] += frozen_KK

    def slices(self) -> Slices:
        """Everything so far, the last slice perhaps not full yet; a copy."""
        rows = self._rows
        return Slices(
            domain_N=np.array([row.key.domain for row in rows], dtype=np.str_),
            visit_N=np.array([row.key.visit for row in rows], dtype=np.int64),
            round_N=np.array([row.key.round for row in rows], dtype=np.int64),
            first_frame_N=np.array([row.first_frame for row in rows], dtype=np.int64),
            num_frames_N=np.array([row.num_frames for row in rows], dtype=np.int64),
            served_NKK=self._served_NKK[: len(rows)].copy(),
            frozen_NKK=self._frozen_NKK[: len(rows)].copy(),
        )

    def state(self) -> State:
        """A copy."""
        slices = self.slices()
        numbers_4N = (slices.visit_N, slices.round_N, slices.first_frame_N, slices.num_frames_N)
        return {
            "slice_frames": self._slice_frames,
            "domains": slices.domain_N.tolist(),
            "numbers_4N": torch.from_numpy(np.stack(numbers_4N)),
            "served_NKK": torch.from_numpy(slices.served_NKK),
            "frozen_NKK": torch.from_numpy(slices.frozen_NKK),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "slice_frames": int(slice_frames),
                "domains": list(domains),
                "numbers_4N": Tensor() as numbers_4N,
                "served_NKK": Tensor() as served_NKK,
                "frozen_NKK": Tensor() as frozen_NKK,
            }:
                self._slice_frames = slice_frames
                columns = zip(domains, numbers_4N.T.tolist(), strict=True)
                self._rows = [
                    _Row(SliceKey(domain, visit, round_), first, num)
                    for domain, (visit, round_, first, num) in columns
                ]
                self._served_NKK[: len(domains)] = served_NKK.numpy()
                self._frozen_NKK[: len(domains)] = frozen_NKK.numpy()
            case _:
                raise ValueError(f"not the state of a slice log: it has the keys {sorted(state)}")

    def _make_room(self) -> None:
        """Longer slices, as long as it takes; the oldest visits go where there are too many of them alone."""
        room = 3 * self._max_slices // 4
        while len(self._rows) > max(room, self._num_stretches()):
            self._slice_frames *= 2
            self._join()
        lost = max(0, len(self._rows) - room)
        self._rows = self._rows[lost:]
        for counts_NKK in (self._served_NKK, self._frozen_NKK):
            counts_NKK[:room] = counts_NKK[lost : lost + room]

    def _join(self) -> None:
        """Neighbours that fit into one slice become one."""
        joined: list[_Row] = []
        for number, row in enumerate(self._rows):
            is_taken = bool(joined) and joined[-1].takes(row.key, row.num_frames, self._slice_frames)
            if is_taken:
                joined[-1].num_frames += row.num_frames
            else:
                joined.append(row)
            last = len(joined) - 1
            for counts_NKK in (self._served_NKK, self._frozen_NKK):
                counts_NKK[last] = counts_NKK[last] + counts_NKK[number] if is_taken else counts_NKK[number]
        self._rows = joined

    def _num_stretches(self) -> int:
        """Runs of slices of one key: no joining goes below it."""
        return sum(key != last for key, last in pairwise([None, *(row.key for row in self._rows)]))


def write_slices(path: Path, slices: Slices) -> None:
    """Write a compressed npz file, whole or not at all: some 100 KB for 1000 frames. OSError when the disk refuses."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        domain_N=slices.domain_N,
        visit_N=slices.visit_N,
        round_N=slices.round_N,
        first_frame_N=slices.first_frame_N,
        num_frames_N=slices.num_frames_N,
        served_NKK=slices.served_NKK,
        frozen_NKK=slices.frozen_NKK,
    )
    write_atomically(path, content.getvalue())


def read_slices(path: Path) -> Slices | None:
    """What `write_slices` wrote; None where there is no such file. Nothing in it is unpickled."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as held:
        return Slices(**{name: held[name] for name in Slices.__dataclass_fields__})


@dataclass(slots=True)
class _Row:
    key: SliceKey
    first_frame: int
    num_frames: int

    def takes(self, key: SliceKey, num_frames: int, slice_frames: int) -> bool:
        return self.key == key and self.num_frames + num_frames <= slice_frames
