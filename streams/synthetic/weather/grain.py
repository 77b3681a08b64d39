"""Fields of fixed noise, cut at a place that depends on the frame: fresh-looking noise at the price of a copy.

Drawing Gaussian noise for a frame costs more than all the rest of its weather; a torus of noise made once, entered at a
random offset, is indistinguishable at video rate. Knows nothing of what the noise stands for.
"""

# H height, W width, C channels (RGB)

from functools import lru_cache

import cv2
import numpy as np

_MARGIN = 96  # rows and columns of room for the offset


def sensor_grain(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Standard normal noise (H, W, 3) in float32, independent by pixel and channel; a view, not to be written."""
    return _cut(_sensor_field(height, width), height, width, generator)


def streak_grain(height: int, width: int, length_px: int, generator: np.random.Generator) -> np.ndarray:
    """Noise (H, W), float32, zero mean, unit variance, correlated over `length_px` rows; a view, not to be written."""
    return _cut(_streak_field(height, width, length_px), height, width, generator)


def _cut(field: np.ndarray, height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    top, left = (int(v) for v in generator.integers(0, _MARGIN, size=2))
    return field[top : top + height, left : left + width]


@lru_cache(maxsize=2)
def _sensor_field(height: int, width: int) -> np.ndarray:
    field = np.random.default_rng(1).standard_normal((height + _MARGIN, width + _MARGIN, 3), dtype=np.float32)
    field.setflags(write=False)
    return field


@lru_cache(maxsize=4)
def _streak_field(height: int, width: int, length_px: int) -> np.ndarray:
    noise = np.random.default_rng(2).standard_normal((height + _MARGIN, width + _MARGIN), dtype=np.float32)
    field: np.ndarray = cv2.blur(noise, (1, max(length_px, 1)), borderType=cv2.BORDER_REFLECT)
    field = (field - field.mean()) / field.std()
    field.setflags(write=False)
    return field
