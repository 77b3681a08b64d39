"""mIoU along a run, over windows of a hundred frames, from the counts the run left in slices.

    curve = windowed_curve(read_slices(run_dir / SLICES_NAME))

Windows end where slices do, so curves of runs over the same frames have the same points.
"""

# N slices, W windows

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import resampled_miou
from evaluation.slices import Slices
from evaluation.windows import WINDOW_FRAMES
from runtime.scores import POINTS


@dataclass(frozen=True, slots=True)
class WindowedCurve:
    """`frames` are the frames windows end before, as indices of the stream; mIoU in points, nan without a pixel."""

    frames: tuple[int, ...]
    served: tuple[float, ...]
    frozen: tuple[float, ...]


def windowed_curve(slices: Slices, *, num_frames: int = WINDOW_FRAMES) -> WindowedCurve:
    """One point for each slice that ends a full window: the fewest slices up to it that hold so many frames."""
    ends_N = slices.num_frames_N.cumsum()
    starts_N = ends_N - slices.num_frames_N
    last_W = np.flatnonzero(ends_N >= num_frames)
    first_W = np.searchsorted(starts_N, ends_N[last_W] - num_frames, side="right") - 1
    numbers_N = np.arange(len(slices))
    weights_WN = ((numbers_N >= first_W[:, None]) & (numbers_N <= last_W[:, None])).astype(np.float64)
    served_W, frozen_W = (
        POINTS * resampled_miou(weights_WN, counts_NKK) for counts_NKK in (slices.served_NKK, slices.frozen_NKK)
    )
    frames_W = slices.first_frame_N[last_W] + slices.num_frames_N[last_W]
    return WindowedCurve(tuple(frames_W.tolist()), tuple(served_W.tolist()), tuple(frozen_W.tolist()))


def mean_curve(curves: Sequence[WindowedCurve]) -> WindowedCurve | None:
    """Mean of the curves that have the first one's points; None without any."""
    if not curves or not curves[0].frames:
        return None
    alike = [curve for curve in curves if curve.frames == curves[0].frames]
    served_W = np.mean([curve.served for curve in alike], axis=0)
    frozen_W = np.mean([curve.frozen for curve in alike], axis=0)
    return WindowedCurve(curves[0].frames, tuple(served_W.tolist()), tuple(frozen_W.tolist()))
