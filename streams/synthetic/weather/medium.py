"""What a scattering medium does to a picture: Koschmieder's law, shared by fog, rain, spray and snow.

    I = J t + L (1 - t),    t = exp(-beta d)

Koschmieder 1924, as used by Sakaridis, Dai, Van Gool, "Semantic Foggy Scene Understanding with Synthetic Data", IJCV
2018 (Foggy Cityscapes), eq. 1 and 2. Depth along the optical axis stands for distance. Knows nothing of what the
medium is.
"""

# H height, W width, C channels (RGB)

import math

import cv2
import numpy as np

CONTRAST_THRESHOLD = 0.05  # the eye's, by which visibility is defined (WMO, meteorological optical range)
FOG_AIRLIGHT_RGB = (208.0, 211.0, 214.0)


def fog_extinction_per_m(visibility_m: float) -> float:
    """beta = -ln(0.05) / V = 2.996 / V in 1/m (Sakaridis et al. 2018, section 3.1); 0 without fog."""
    return -math.log(CONTRAST_THRESHOLD) / visibility_m


def transmission(path_HW: np.ndarray) -> np.ndarray:
    """Share of light (H, W) that gets through an optical path beta * d."""
    share_HW: np.ndarray = cv2.exp(-path_HW)
    return share_HW


def blend(image_HWC: np.ndarray, keep_HW: np.ndarray, colour_RGB: tuple[float, ...]) -> np.ndarray:
    """`keep` of the float32 image (values 0 to 255) over a colour: I k + colour (1 - k)."""
    colour = (*colour_RGB, 0.0)
    result_HWC: np.ndarray = cv2.subtract(image_HWC, colour)
    cv2.multiply(result_HWC, spread(keep_HW), dst=result_HWC)
    cv2.add(result_HWC, colour, dst=result_HWC)
    return result_HWC


def spread(plane_HW: np.ndarray) -> np.ndarray:
    """The plane on three channels; to multiply by it is much faster than numpy's broadcast over a last axis of 3."""
    spread_HWC: np.ndarray = cv2.merge((plane_HW, plane_HW, plane_HW))
    return spread_HWC
