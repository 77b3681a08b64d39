"""Low sun ahead: a warm, harsh picture with backlit objects and light scattered in lens and eye.

The veil around the sun falls with the square of the angle: Stiles and Holladay's disability glare, CIE 146:2002,
L = 10 E / theta^2. Knows nothing of shadows; the scene's own stay as they are.
"""

# H height, W width, C channels (RGB)

import cv2
import numpy as np

from streams.synthetic.weather.geometry import View
from streams.synthetic.weather.medium import blend

GLARE_RGB = (255.0, 238.0, 205.0)
WARM_RGB = (1.06, 0.98, 0.85)  # sunlight at 10 degrees of elevation, about 4000 K
GLARE_ANGLE = 0.16  # in units of the focal length; where the veil has half its strength


def backlight(image_HWC: np.ndarray, low_sun: float) -> np.ndarray:
    """Warm tint and contrast about middle grey: surfaces seen against the sun turn their shaded side to the camera."""
    contrast, tint = 1.0 + 0.2 * low_sun, 1.0 + low_sun * (np.array(WARM_RGB) - 1.0)
    mixing = np.zeros((3, 4))
    mixing[:, :3] = np.diag(tint * contrast)
    mixing[:, 3] = -tint * (contrast - 1.0) * 150.0
    result_HWC: np.ndarray = cv2.max(cv2.transform(image_HWC, mixing), 0.0)
    return result_HWC


def glare(image_HWC: np.ndarray, view: View, low_sun: float, *, seed: int) -> np.ndarray:
    """Lays the veil of a sun that stands a little above the horizon, at a bearing drawn from the seed."""
    height, width = image_HWC.shape[:2]
    bearing = float(np.random.default_rng((seed, 5)).uniform(0.25, 0.75))
    column, row = bearing * width, view.horizon_row - 0.18 * height
    across_W = (np.arange(width, dtype=np.float32) - column) / view.focal_px
    along_H = (np.arange(height, dtype=np.float32) - row) / view.focal_px
    square_HW = along_H[:, None] ** 2 + across_W[None, :] ** 2
    veil_HW = low_sun * (0.06 + 0.85 / (1.0 + square_HW * (1.0 / GLARE_ANGLE**2)))
    return blend(image_HWC, (1.0 - veil_HW).astype(np.float32), GLARE_RGB)
