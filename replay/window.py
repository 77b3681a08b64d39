"""TargetWindow: the last few frames of the stream, kept for learning.

It holds copies, so a camera may reuse its arrays. There is no place in it for a frame's true label: what it may keep
beside an image is the label map that was served for it.

    window = TargetWindow(8)
    window.add(frame.index, frame.image_HWC, prediction.labels_HW)
    for seen in window.recent(2): ...
"""

# H height, W width, C channels (RGB)

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """One remembered frame: uint8 RGB and the uint8 labels predicted for it, if they were kept."""

    index: int
    image_HWC: Tensor
    predicted_HW: Tensor | None


@dataclass(frozen=True, slots=True)
class WindowStatistics:
    num_frames: int
    capacity_frames: int
    num_bytes: int
    first_index: int | None
    last_index: int | None


class TargetWindow:
    """The newest `capacity_frames` frames in order of arrival; older ones fall out. One owner, not thread-safe."""

    def __init__(self, capacity_frames: int) -> None:
        if capacity_frames < 1:
            raise ValueError(f"window.capacity_frames must be at least 1, got {capacity_frames}")
        self._frames: deque[SeenFrame] = deque(maxlen=capacity_frames)
        self._capacity_frames = capacity_frames

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, index: int, image_HWC: np.ndarray, predicted_HW: np.ndarray | None = None) -> None:
        """Remembers a copy; indices must grow."""
        if self._frames and index <= self._frames[-1].index:
            raise ValueError(f"window frames must come in order: got index {index} after {self._frames[-1].index}")
        predicted = None if predicted_HW is None else torch.tensor(predicted_HW)
        self._frames.append(SeenFrame(index, torch.tensor(image_HWC), predicted))

    def recent(self, num: int) -> tuple[SeenFrame, ...]:
        """The `num` newest frames, newest first; fewer where fewer were seen."""
        return tuple(reversed(self._frames))[:num]

    def sample(self, num: int, *, generator: torch.Generator) -> tuple[SeenFrame, ...]:
        """`num` frames drawn uniformly with replacement."""
        if not self._frames:
            raise ValueError("the target window is empty; add a frame before sampling")
        return tuple(self._frames[i] for i in torch.randint(len(self._frames), (num,), generator=generator).tolist())

    def clear(self) -> None:
        """Forgets all frames, as after a shift when the old domain must not be learned any longer."""
        self._frames.clear()

    def statistics(self) -> WindowStatistics:
        return WindowStatistics(
            num_frames=len(self._frames),
            capacity_frames=self._capacity_frames,
            num_bytes=sum(_num_bytes(frame) for frame in self._frames),
            first_index=self._frames[0].index if self._frames else None,
            last_index=self._frames[-1].index if self._frames else None,
        )


def _num_bytes(frame: SeenFrame) -> int:
    return frame.image_HWC.nbytes + (0 if frame.predicted_HW is None else frame.predicted_HW.nbytes)
