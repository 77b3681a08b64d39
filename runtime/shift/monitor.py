"""ShiftMonitor: from predictions to shift events.

It keeps what the stream has looked like of late (each feature the median of three frames, so that one odd frame is
nothing, then an exponential average), asks its watch how far that is from the source and whether something
changed, and words the answer as events: *away* from the source, *change* while away, *return* to it. A stream that
starts in a shifted domain is away after its first frames. It does not know what is done about a shift.
"""

# F features

import numpy as np
from torch import Tensor

from runtime.events import Prediction, ShiftEvent, ShiftScore
from runtime.shift.appearance import appearance
from runtime.shift.sight import Sight
from runtime.shift.watch import Watch
from runtime.state import State, array_again, kept_array


class ShiftMonitor:
    """One owner calls `update` once per frame, in order."""

    def __init__(self, watch: Watch, *, smoothing: float = 0.25) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(f"shift.smoothing must be in (0, 1], got {smoothing}; 1 turns smoothing off")
        self._watch = watch
        self._smoothing = smoothing
        self._last_F: np.ndarray | None = None
        self._last_but_one_F: np.ndarray | None = None
        self._smoothed_F: np.ndarray | None = None

    @property
    def smoothed_F(self) -> np.ndarray | None:
        """What the stream looks like of late; None before the first frame."""
        return self._smoothed_F

    def update(
        self, prediction: Prediction, *, at_s: float, features_F: np.ndarray | None = None
    ) -> tuple[ShiftScore, ShiftEvent | None]:
        """The score of this frame (1 is the edge of the source) and the shift it confirms, if any.

        `features_F` is the frame's appearance where it is known already.
        """
        frame = prediction.frame
        looks_F = self._without_oddity(appearance(frame.image_HWC) if features_F is None else features_F)
        if self._smoothed_F is None:
            self._smoothed_F = looks_F
        self._smoothed_F = self._smoothed_F + self._smoothing * (looks_F - self._smoothed_F)
        score, kind = self._watch.look(Sight(prediction, looks_F, self._smoothed_F))
        event = None
        if kind is not None:
            event = ShiftEvent(frame_index=frame.index, kind=kind, score=score, true_domain=frame.domain, at_s=at_s)
        return ShiftScore(frame_index=frame.index, score=score, is_shifted=self._watch.is_shifted, at_s=at_s), event

    def _without_oddity(self, features_F: np.ndarray) -> np.ndarray:
        """Feature by feature, the median of this frame's and the two before; the first frame stands for those."""
        if self._last_F is None or self._last_but_one_F is None:
            self._last_F = self._last_but_one_F = features_F
        middle_F: np.ndarray = np.median([self._last_but_one_F, self._last_F, features_F], axis=0)
        self._last_but_one_F, self._last_F = self._last_F, features_F
        return middle_F

    def state(self) -> State:
        """Copies of the last two frames' features and the smoothed ones, and what the watch remembers."""
        return {
            "last": kept_array(self._last_F),
            "last_but_one": kept_array(self._last_but_one_F),
            "smoothed": kept_array(self._smoothed_F),
            "watch": self._watch.state(),
        }

    def load_state(self, state: State) -> None:
        """Go on from `state`."""
        match state:
            case {
                "last": Tensor() | None as last_F,
                "last_but_one": Tensor() | None as last_but_one_F,
                "smoothed": Tensor() | None as smoothed_F,
                "watch": dict(watch),
            }:
                self._last_F, self._last_but_one_F = array_again(last_F), array_again(last_but_one_F)
                self._smoothed_F = array_again(smoothed_F)
                self._watch.load_state(watch)
            case _:
                raise ValueError(f"not the state of a shift monitor: it has the keys {sorted(state)}")
