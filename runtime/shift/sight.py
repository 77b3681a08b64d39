"""Sight: what signals may look at, one frame with its answer and with how the stream has looked lately."""

# F features

from dataclasses import dataclass

import numpy as np

from runtime.events import Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """`appearance_F` is this frame's (`runtime/shift/appearance.py`) unless it is an odd one out, `smoothed_F` its
    average over recent frames.
    """

    prediction: Prediction
    appearance_F: np.ndarray
    smoothed_F: np.ndarray
