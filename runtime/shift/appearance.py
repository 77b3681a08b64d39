"""Appearance: a frame reduced to a few dozen floats that weather moves and scenery hardly does.

Per horizontal band (weather changes with image height: veils above, reflections below): channel means, channel
deviations, and the energy of fine horizontal and vertical gradients at two scales (streaks, noise, blur). No
network, no threshold.
"""

# H height, W width, C channels, F features

import numpy as np

NUM_BANDS = 4
FEATURES_PER_BAND = 10
NUM_FEATURES = NUM_BANDS * FEATURES_PER_BAND
_FLOOR = 1e-3  # keeps the logarithm of a flat band finite; an eighth of one grey level


def appearance(image_HWC: np.ndarray) -> np.ndarray:
    """Features of one uint8 RGB image (H, W >= 16) as float64 of shape (F,); about 1 ms at 256x512."""
    pixels_HWC = image_HWC[::2, ::2].astype(np.float32) / 255.0
    luma_HW = image_HWC @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255.0)
    coarse_HW = _halved(luma_HW)
    features = []
    for band in range(NUM_BANDS):
        colour = _band(pixels_HWC, band).reshape(-1, 3)
        features.extend(colour.mean(0))
        features.extend(np.log(colour.std(0) + _FLOOR))
        for plane_HW in (_band(luma_HW, band), _band(coarse_HW, band)):
            features.append(np.log(np.abs(np.diff(plane_HW, axis=1)).mean() + _FLOOR))
            features.append(np.log(np.abs(np.diff(plane_HW, axis=0)).mean() + _FLOOR))
    return np.asarray(features, np.float64)


def _band(plane: np.ndarray, band: int) -> np.ndarray:
    height = plane.shape[0]
    return plane[band * height // NUM_BANDS : (band + 1) * height // NUM_BANDS]


def _halved(plane_HW: np.ndarray) -> np.ndarray:
    height, width = plane_HW.shape[0] // 2 * 2, plane_HW.shape[1] // 2 * 2
    even = plane_HW[:height, :width]
    quarter: np.ndarray = 0.25 * (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])
    return quarter
