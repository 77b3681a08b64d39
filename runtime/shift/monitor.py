"""ShiftMonitor: from frames to shift events.

Two questions per frame, both against thresholds calibrated on source data: does the smoothed appearance lie outside
the source (away / return, with hysteresis), and while outside, has it moved since learning last began (change)? A
stream that starts in a shifted domain is away after its first frames. It does not know what is done about a shift.
"""

import numpy as np
from torch import Tensor

from runtime.events import ShiftEvent, ShiftScore
from runtime.shift.appearance import appearance
from runtime.shift.calibration import SourceAppearance
from runtime.state import State, array_again, kept_array
from streams.frame import Frame

RETURN_SHARE = 0.9  # a shifted domain is left below this share of the threshold


class ShiftMonitor:
    """One owner calls `update` once per frame, in order."""

    def __init__(self, source: SourceAppearance, *, smoothing: float = 0.25, confirm_frames: int = 3) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(f"shift.smoothing must be in (0, 1], got {smoothing}; 1 turns smoothing off")
        self._source = source
        self._smoothing = smoothing
        self._confirm_frames = confirm_frames
        self.reset()

    @property
    def smoothed_F(self) -> np.ndarray | None:
        """What the stream looks like of late; None before the first frame."""
        return self._smoothed_F

    def reset(self) -> None:
        self._smoothed_F: np.ndarray | None = None
        self._anchor_F: np.ndarray | None = None
        self._is_shifted = False
        self._num_contrary = 0

    def update(
        self, frame: Frame, *, at_s: float, features_F: np.ndarray | None = None
    ) -> tuple[ShiftScore, ShiftEvent | None]:
        """The score of this frame (1 is the threshold) and the shift it confirms, if any.

        `features_F` is the frame's appearance where it is known already.
        """
        features_F = appearance(frame.image_HWC) if features_F is None else features_F
        if self._smoothed_F is None:
            self._smoothed_F = features_F
        self._smoothed_F = self._smoothed_F + self._smoothing * (features_F - self._smoothed_F)
        score = self._source.distance(self._smoothed_F) / self._source.threshold
        kind = self._decide(score)
        event = None
        if kind is not None:
            self._anchor_F = self._smoothed_F
            event = ShiftEvent(frame_index=frame.index, kind=kind, score=score, true_domain=frame.domain, at_s=at_s)
        return ShiftScore(frame_index=frame.index, score=score, is_shifted=self._is_shifted, at_s=at_s), event

    def state(self) -> State:
        """A copy of the smoothed features, those at the last shift, and the side of the threshold."""
        return {
            "smoothed": kept_array(self._smoothed_F),
            "anchor": kept_array(self._anchor_F),
            "is_shifted": self._is_shifted,
            "num_contrary": self._num_contrary,
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "smoothed": Tensor() | None as smoothed_F,
                "anchor": Tensor() | None as anchor_F,
                "is_shifted": bool(is_shifted),
                "num_contrary": int(num_contrary),
            }:
                self._smoothed_F, self._anchor_F = array_again(smoothed_F), array_again(anchor_F)
                self._is_shifted, self._num_contrary = is_shifted, num_contrary
            case _:
                raise ValueError(f"not the state of a shift monitor: it has the keys {sorted(state)}")

    def _decide(self, score: float) -> str | None:
        is_contrary = score < RETURN_SHARE if self._is_shifted else score > 1.0
        self._num_contrary = self._num_contrary + 1 if is_contrary else 0
        if self._num_contrary >= self._confirm_frames:
            self._num_contrary = 0
            self._is_shifted = not self._is_shifted
            return "away" if self._is_shifted else "return"
        if self._is_shifted and self._has_moved():
            return "change"
        return None

    def _has_moved(self) -> bool:
        assert self._smoothed_F is not None and self._anchor_F is not None
        return self._source.separation(self._smoothed_F, self._anchor_F) > self._source.threshold
