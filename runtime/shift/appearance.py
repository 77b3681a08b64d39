"""Appearance: a frame reduced to eleven floats that weather moves and scenery hardly does.

Means and deviations follow whatever passes by. What scenery leaves alone are floors: the median gradient (sensor grain
and rain, since most pixels lie on no edge), and the darkest pixels of a row (there is always something dark, unless a
veil of fog or spray lies over it; the dark channel of He et al. 2009, "Single image haze removal using dark channel
prior"). Gradients enter as grey levels and not as logarithms, so that grain counts and the difference between two very
clean cameras does not. No network, no threshold.
"""

# H height, W width, C channels, F features

import numpy as np

NUM_FEATURES = 11
_NUM_BANDS = 6
_DARKEST = 50  # the darkest 1 of so many pixels of a row
_DARK_OFFSET = 40.0  # grey levels: where logarithms of dark pixels turn linear
_OFFSET = 4.0
_LUMA_C = np.array([0.299, 0.587, 0.114], np.float32)


def appearance(image_HWC: np.ndarray) -> np.ndarray:
    """Features of one uint8 RGB image (H, W >= 32) as float64 of shape (F,); 3 ms at 256x512, 10 at 512x1024.

    Horizontal and vertical grain below and above the middle, darkness (upper middle, bottom, centre), brightness,
    colour, detail in the upper middle, and contrast in the centre, where a street is farthest away.
    """
    luma_HW = image_HWC @ _LUMA_C
    half_HW = _halved(luma_HW)
    thin_HWC = image_HWC[:, ::2]
    dark_HW = np.minimum(np.minimum(thin_HWC[..., 0], thin_HWC[..., 1]), thin_HWC[..., 2])
    bright_HW = np.maximum(np.maximum(thin_HWC[..., 0], thin_HWC[..., 1]), thin_HWC[..., 2])
    grains = [_grain(_band(luma_HW, band)) for band in range(_NUM_BANDS)]
    darks = [_darkest(_band(dark_HW, band)) for band in range(_NUM_BANDS)]
    brightness = [np.log(_band(half_HW, band).mean() + _OFFSET) for band in range(_NUM_BANDS)]
    colours = [np.log((_band(bright_HW, band) - _band(dark_HW, band)).mean() + 1.0) for band in range(_NUM_BANDS)]
    details = [np.log(np.abs(np.diff(_band(half_HW, band), axis=1)).mean() + 0.5) for band in (1, 2, 3)]
    features = [
        *np.mean(grains[3:], axis=0),
        *np.mean(grains[:3], axis=0),
        np.log(np.mean(darks[1:4]) + _DARK_OFFSET),
        np.log(np.mean(darks[4:]) + _DARK_OFFSET),
        np.log(np.mean([_darkest(_centre(_band(dark_HW, band))) for band in (2, 3)]) + _DARK_OFFSET),
        np.mean(brightness),
        np.mean(colours),
        np.mean(details),
        np.mean([_contrast(_centre(_band(half_HW, band))) for band in (2, 3)]),
    ]
    return np.asarray(features, np.float64)


def _grain(luma_HW: np.ndarray) -> tuple[float, float]:
    """Median absolute difference between horizontal and between vertical neighbours, on every other row and column."""
    across, down = np.diff(luma_HW[::2], axis=1)[:, ::2], np.diff(luma_HW[:, ::2], axis=0)[::2]
    return median(np.abs(across)), median(np.abs(down))


def median(values: np.ndarray) -> float:
    """What np.median says of finite values, to the bit, in a quarter to two thirds of its time."""
    middle = values.size // 2
    parted = np.partition(values, middle, axis=None)
    upper = parted[middle]
    return float(upper if values.size % 2 else np.mean((parted[:middle].max(), upper)))


def _darkest(dark_HW: np.ndarray) -> float:
    """Mean over rows of what the darkest pixels of each row have, 0 to 255."""
    num = max(1, dark_HW.shape[1] // _DARKEST)
    return float(np.partition(dark_HW, num - 1, axis=1)[:, :num].mean())


def _contrast(luma_HW: np.ndarray) -> float:
    """Logarithm of the mean vertical gradient as a share of the mean brightness."""
    return float(np.log(np.abs(np.diff(luma_HW, axis=0)).mean() + 0.5) - np.log(luma_HW.mean() + _OFFSET))


def _band(plane: np.ndarray, band: int) -> np.ndarray:
    height = plane.shape[0]
    return plane[band * height // _NUM_BANDS : (band + 1) * height // _NUM_BANDS]


def _centre(plane: np.ndarray) -> np.ndarray:
    width = plane.shape[1]
    return plane[:, width // 3 : width - width // 3]


def _halved(plane_HW: np.ndarray) -> np.ndarray:
    height, width = plane_HW.shape[0] // 2 * 2, plane_HW.shape[1] // 2 * 2
    even = plane_HW[:height, :width]
    quarter: np.ndarray = 0.25 * (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])
    return quarter
